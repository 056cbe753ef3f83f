// Calls with Go's net/http as an agent would make them: nothing is configured but the key.
//
// usage: chat '[{"url": "https://…", "headers": {…}, "body": "…", "stream": bool}…]'        (all on one client)
// stdout: one line of JSON: [{"protocol", "status", "body"}…]; a stream is read line by line
package main

import (
	"bufio"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
)

type call struct {
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Stream  bool              `json:"stream"`
}

type answer struct {
	Protocol string `json:"protocol"`
	Status   int    `json:"status"`
	Body     string `json:"body"`
}

func main() {
	var calls []call
	if err := json.Unmarshal([]byte(os.Args[1]), &calls); err != nil {
		log.Fatal(err)
	}
	answers := []answer{}
	for _, each := range calls {
		made, err := each.do()
		if err != nil {
			log.Fatal(err)
		}
		answers = append(answers, made)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		log.Fatal(err)
	}
}

func (c call) do() (answer, error) {
	request, err := http.NewRequest(http.MethodPost, c.URL, strings.NewReader(c.Body))
	if err != nil {
		return answer{}, err
	}
	for name, value := range c.Headers {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := read(response.Body, c.Stream)
	return answer{response.Proto, response.StatusCode, body}, err
}

func read(from io.Reader, stream bool) (string, error) {
	if !stream {
		whole, err := io.ReadAll(from)
		return string(whole), err
	}
	var body strings.Builder
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		body.WriteString(lines.Text() + "\n")
	}
	return body.String(), lines.Err()
}
