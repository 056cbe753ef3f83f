// One HTTPS call with Go's standard library.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	request, err := http.NewRequest("GET", os.Args[1], nil)
	if err == nil {
		request.Header.Set("Authorization", "Bearer sk-trust")
		var response *http.Response
		if response, err = http.DefaultClient.Do(request); err == nil {
			_, err = io.Copy(os.Stdout, response.Body)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
