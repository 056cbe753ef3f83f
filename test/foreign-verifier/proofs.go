package main

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

func hashOf(bytes []byte) (hash tlog.Hash, err error) {
	if copy(hash[:], bytes) != tlog.HashSize || len(bytes) != tlog.HashSize {
		err = errors.New("a hash of another length")
	}
	return hash, err
}

func hashesOf(list [][]byte) (hashes []tlog.Hash, err error) {
	for _, bytes := range list {
		hash, err := hashOf(bytes)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	return hashes, nil
}

func bytesOf(hashes []tlog.Hash) (list [][]byte) {
	for _, hash := range hashes {
		list = append(list, append([]byte(nil), hash[:]...))
	}
	return list
}

func inclusion(r *request) (answer, error) {
	proof, err1 := hashesOf(r.Proof)
	root, err2 := hashOf(r.Root)
	leaf, err3 := hashOf(r.Hash)
	if err1 != nil || err2 != nil || err3 != nil {
		return answer{}, errors.New("a hash of another length")
	}
	return answer{Size: r.Size}, tlog.CheckRecord(proof, r.Size, root, r.Index, leaf)
}

func consistency(r *request) (answer, error) {
	proof, err1 := hashesOf(r.Proof)
	root, err2 := hashOf(r.Root)
	oldRoot, err3 := hashOf(r.OldRoot)
	if err1 != nil || err2 != nil || err3 != nil {
		return answer{}, errors.New("a hash of another length")
	}
	return answer{Size: r.Size}, tlog.CheckTree(proof, r.Size, root, r.OldSize, oldRoot)
}

// tlogProof verifies c2sp.org/tlog-proof@v1.
func tlogProof(r *request) (answer, error) {
	head, signed, found := strings.Cut(string(r.Text), "\n\n")
	lines := strings.Split(head, "\n")
	if !found || lines[0] != "c2sp.org/tlog-proof@v1" {
		return answer{}, errors.New("not a tlog-proof")
	}
	lines = lines[1:]
	if len(lines) > 0 && strings.HasPrefix(lines[0], "extra ") {
		if _, err := strict(strings.TrimPrefix(lines[0], "extra ")); err != nil {
			return answer{}, err
		}
		lines = lines[1:]
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "index ") {
		return answer{}, errors.New("no index")
	}
	digits := strings.TrimPrefix(lines[0], "index ")
	index, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || strconv.FormatInt(index, 10) != digits {
		return answer{}, errors.New("the index is not a decimal number")
	}
	var proof [][]byte
	for _, line := range lines[1:] {
		hash, err := strict(line)
		if err != nil {
			return answer{}, err
		}
		proof = append(proof, hash)
	}
	hashes, err := hashesOf(proof)
	if err != nil {
		return answer{}, err
	}
	tree, cosigned, err := openCheckpoint([]byte(signed), r.Key, r.Cosigners...)
	if err != nil {
		return answer{}, err
	}
	err = tlog.CheckRecord(hashes, tree.N, tree.Hash, index, tlog.RecordHash(r.Leaf))
	return answer{Size: tree.N, Cosigned: cosigned}, err
}

// strict reads base64 as RFC 4648 section 4 has it; Go's own reader also skips line ends.
func strict(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, errors.New("a line end within base64")
	}
	return base64.StdEncoding.Strict().DecodeString(text)
}

func proveInclusion(r *request) (answer, error) {
	read := open(r.Log)
	tree, _, err := signedTree(r, read)
	if err != nil {
		return answer{}, err
	}
	proof, err := tlog.ProveRecord(tree.N, r.Index, tlog.TileHashReader(tree, &tiles{read: read}))
	return answer{Size: tree.N, Proof: bytesOf(proof)}, err
}

func proveConsistency(r *request) (answer, error) {
	read := open(r.Log)
	tree, _, err := signedTree(r, read)
	if err != nil {
		return answer{}, err
	}
	proof, err := tlog.ProveTree(tree.N, r.OldSize, tlog.TileHashReader(tree, &tiles{read: read}))
	return answer{Size: tree.N, Proof: bytesOf(proof)}, err
}
