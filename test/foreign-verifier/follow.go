package main

import (
	"bytes"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// follow is one step of a monitor, from the checkpoint in Note to the log's newest: the new one is signed, no
// smaller, consistent with the old one, and its new leaves are the entries served.
func follow(r *request) (answer, error) {
	read := open(r.Log)
	signed, err := read("checkpoint")
	if err != nil {
		return answer{}, err
	}
	tree, cosigned, err := openCheckpoint(signed, r.Key, r.Cosigners...)
	if err != nil {
		return answer{}, err
	}
	found := answer{Size: tree.N, Cosigned: cosigned, Checkpoint: signed}
	var old tlog.Tree
	if len(r.Note) > 0 && !bytes.Equal(r.Note, signed) {
		if old, _, err = openCheckpoint(r.Note, r.Key, r.Cosigners...); err != nil {
			return answer{}, err
		}
		if err := checkGrowth(read, old, tree); err != nil {
			return answer{}, fmt.Errorf("from %d to %d: %w", old.N, tree.N, err)
		}
	}
	if tree.N > old.N {
		found.Tiles, err = checkLeaves(read, tree, old.N, r.Entries)
	}
	return found, err
}

func checkGrowth(read source, old, tree tlog.Tree) error {
	if tree.N < old.N {
		return fmt.Errorf("the log has shrunk")
	}
	if tree.N == old.N || old.N == 0 {
		if tree.N == old.N && tree.Hash != old.Hash {
			return fmt.Errorf("two roots for one size")
		}
		return nil
	}
	proof, err := tlog.ProveTree(tree.N, old.N, tlog.TileHashReader(tree, &tiles{read: read}))
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash)
}
