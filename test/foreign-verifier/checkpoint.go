package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// openCheckpoint verifies the signed note and reads the tree head in it. x/mod reads tree heads of its own log
// only, which differ from a checkpoint in the first line: so that line is exchanged.
func openCheckpoint(signed []byte, key string, cosigners ...string) (tlog.Tree, int, error) {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return tlog.Tree{}, 0, err
	}
	known := []note.Verifier{verifier}
	for _, text := range cosigners {
		cosigner, err := newCosigner(text)
		if err != nil {
			return tlog.Tree{}, 0, err
		}
		known = append(known, cosigner)
	}
	opened, err := note.Open(signed, note.VerifierList(known...))
	if err != nil {
		return tlog.Tree{}, 0, err
	}
	origin, rest, _ := strings.Cut(opened.Text, "\n")
	if origin != verifier.Name() {
		return tlog.Tree{}, 0, fmt.Errorf("a checkpoint of %q", origin)
	}
	bySelf := false
	for _, signature := range opened.Sigs {
		bySelf = bySelf || signature.Name == verifier.Name() && signature.Hash == verifier.KeyHash()
	}
	if !bySelf {
		return tlog.Tree{}, 0, errors.New("the log itself did not sign")
	}
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + rest))
	return tree, len(opened.Sigs) - 1, err
}

func checkpoint(r *request) (answer, error) {
	tree, cosigned, err := openCheckpoint(r.Note, r.Key, r.Cosigners...)
	return answer{Size: tree.N, Cosigned: cosigned}, err
}

// cosigner is an Ed25519 cosigner of c2sp.org/tlog-cosignature, type 0x04.
type cosigner struct {
	name string
	id   uint32
	key  ed25519.PublicKey
}

func newCosigner(text string) (note.Verifier, error) {
	parts := strings.SplitN(text, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("not a verifier key")
	}
	typed, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(typed) != 33 || typed[0] != 0x04 {
		return nil, errors.New("not an Ed25519 cosigner's key")
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), typed...))
	id := binary.BigEndian.Uint32(sum[:4])
	if fmt.Sprintf("%08x", id) != parts[1] {
		return nil, errors.New("the id is of another key")
	}
	return &cosigner{parts[0], id, ed25519.PublicKey(typed[1:])}, nil
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.id }
func (c *cosigner) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	time := binary.BigEndian.Uint64(signature)
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", time, text)
	return time < 1<<63 && ed25519.Verify(c.key, []byte(message), signature[8:])
}
