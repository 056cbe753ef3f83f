package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// source reads the files of a log, from its directory or over HTTP.
type source func(path string) ([]byte, error)

var client = &http.Client{
	Timeout:       20 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("a redirect") },
}

func open(log string) source {
	if !strings.HasPrefix(log, "http://") {
		return func(path string) ([]byte, error) { return os.ReadFile(filepath.Join(log, path)) }
	}
	return func(path string) ([]byte, error) {
		response, err := client.Get(strings.TrimSuffix(log, "/") + "/" + path)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(io.LimitReader(response.Body, 32<<20))
		if err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", path, response.Status)
		}
		return body, err
	}
}

// tilePath is the path of c2sp.org/tlog-tiles: x/mod's, without the tile's height, and with its own name for data.
func tilePath(tile tlog.Tile) string {
	path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
	return strings.Replace(path, "tile/data/", "tile/entries/", 1)
}

// tiles is a tlog.TileReader, which counts the tiles that were found authentic.
type tiles struct {
	read  source
	saved int
}

func (*tiles) Height() int                               { return 8 }
func (t *tiles) SaveTiles(found []tlog.Tile, _ [][]byte) { t.saved += len(found) }
func (t *tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(wanted))
	for i, tile := range wanted {
		var err error
		if data[i], err = t.read(tilePath(tile)); err != nil {
			return nil, err
		}
	}
	return data, nil
}

const width = 256

// checkLeaves reads the leaf hashes from a tile boundary at or before `from` on, each proved to be in the tree by
// x/mod's reader, and, if wanted, the entries that they are of.
func checkLeaves(read source, tree tlog.Tree, from int64, entries bool) (int, error) {
	reader := &tiles{read: read}
	hashes := tlog.TileHashReader(tree, reader)
	for first := from - from%width; first < tree.N; first += width {
		count := tree.N - first
		if count > width {
			count = width
		}
		indexes := make([]int64, count)
		for i := range indexes {
			indexes[i] = tlog.StoredHashIndex(0, first+int64(i))
		}
		leaves, err := hashes.ReadHashes(indexes)
		if err != nil {
			return 0, err
		}
		if !entries {
			continue
		}
		bundle, err := read(tilePath(tlog.Tile{H: 8, L: -1, N: first / width, W: int(count)}))
		if err != nil {
			return 0, err
		}
		if err := checkBundle(bundle, leaves); err != nil {
			return 0, fmt.Errorf("bundle %d: %w", first/width, err)
		}
	}
	return reader.saved, nil
}

func checkBundle(bundle []byte, leaves []tlog.Hash) error {
	for i, leaf := range leaves {
		if len(bundle) < 2 {
			return fmt.Errorf("it ends before entry %d", i)
		}
		end := 2 + int(binary.BigEndian.Uint16(bundle))
		if len(bundle) < end {
			return fmt.Errorf("it ends within entry %d", i)
		}
		if tlog.RecordHash(bundle[2:end]) != leaf {
			return fmt.Errorf("entry %d is not the leaf", i)
		}
		bundle = bundle[end:]
	}
	if len(bundle) > 0 {
		return errors.New("it goes on after its last entry")
	}
	return nil
}

// signedTree opens the note of the request, or else the log's own newest checkpoint.
func signedTree(r *request, read source) (tlog.Tree, []byte, error) {
	signed := r.Note
	if len(signed) == 0 {
		var err error
		if signed, err = read("checkpoint"); err != nil {
			return tlog.Tree{}, nil, err
		}
	}
	tree, _, err := openCheckpoint(signed, r.Key)
	return tree, signed, err
}

// wholeLog verifies the checkpoint, every tile of its tree and every entry.
func wholeLog(r *request) (answer, error) {
	read := open(r.Log)
	tree, signed, err := signedTree(r, read)
	if err != nil {
		return answer{}, err
	}
	saved, err := checkLeaves(read, tree, 0, r.Entries)
	return answer{Size: tree.N, Tiles: saved, Checkpoint: signed}, err
}
