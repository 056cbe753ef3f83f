// A verifier that shares no code with the gateway: golang.org/x/mod/sumdb/{note,tlog}, and what the C2SP
// specifications add to them (tile paths, entry bundles, tlog-proof, cosignatures), written from their text.
//
// It takes one JSON request a line on stdin and answers each with one JSON line on stdout.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

type request struct {
	Op string `json:"op"`
	// Verifier key of the log, and of cosigners.
	Key       string   `json:"key"`
	Cosigners []string `json:"cosigners"`
	// A signed note, a tlog-proof, a leaf.
	Note []byte `json:"note"`
	Text []byte `json:"text"`
	Leaf []byte `json:"leaf"`
	// Where the log is: a directory, or a URL prefix.
	Log     string `json:"log"`
	Entries bool   `json:"entries"`
	// Of a proof.
	Index   int64    `json:"index,string"`
	Size    int64    `json:"size,string"`
	OldSize int64    `json:"oldSize,string"`
	Hash    []byte   `json:"hash"`
	Root    []byte   `json:"root"`
	OldRoot []byte   `json:"oldRoot"`
	Proof   [][]byte `json:"proof"`
}

type answer struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	// What was found, where something is.
	Size       int64    `json:"size,string"`
	Proof      [][]byte `json:"proof,omitempty"`
	Cosigned   int      `json:"cosigned"`
	Tiles      int      `json:"tiles"`
	Checkpoint []byte   `json:"checkpoint,omitempty"`
}

var operations = map[string]func(*request) (answer, error){
	"checkpoint":        checkpoint,
	"log":               wholeLog,
	"inclusion":         inclusion,
	"consistency":       consistency,
	"proof":             tlogProof,
	"prove-inclusion":   proveInclusion,
	"prove-consistency": proveConsistency,
	"follow":            follow,
}

func handle(line []byte) answer {
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return answer{Error: err.Error()}
	}
	operation, ok := operations[r.Op]
	if !ok {
		return answer{Error: "no such operation"}
	}
	found, err := operation(&r)
	if err != nil {
		return answer{Error: err.Error()}
	}
	found.OK = true
	return found
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		if err := out.Encode(handle(line)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
