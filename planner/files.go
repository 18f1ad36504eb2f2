package planner

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"quorate/internal/yaml11"
)

// folderDepthMax bounds how deep folders are searched, against loops of links.
const folderDepthMax = 32

// findFiles returns the YAML files of a path: itself where it is a file, else
// all below it, sorted by name. Hidden files and folders are passed over.
func findFiles(root string, kind Role) (files []*inputFile, isFolder bool, err error) {
	info, err := os.Stat(root)
	if err != nil {
		return nil, false, err
	}
	if !info.IsDir() {
		dir, base := filepath.Split(root)
		return []*inputFile{{role: kind, name: base, path: root, root: filepath.Clean(dir)}}, false, nil
	}
	var names []string
	if err := walk(root, "", 0, &names); err != nil {
		return nil, true, err
	}
	slices.Sort(names)
	for _, n := range names {
		files = append(files, &inputFile{role: kind, name: n, path: filepath.Join(root, filepath.FromSlash(n)), root: root})
	}
	return files, true, nil
}

func walk(root, below string, depth int, names *[]string) error {
	if depth > folderDepthMax {
		return fmt.Errorf("%s: folders are nested deeper than %d", filepath.Join(root, below), folderDepthMax)
	}
	entries, err := os.ReadDir(filepath.Join(root, below))
	if err != nil {
		return err
	}
	for _, e := range entries {
		base := e.Name()
		if strings.HasPrefix(base, ".") {
			continue
		}
		kind := e.Type()
		if kind&fs.ModeSymlink != 0 {
			if info, err := os.Stat(filepath.Join(root, below, base)); err == nil {
				kind = info.Mode().Type()
			}
		}
		switch {
		case kind.IsDir():
			if err := walk(root, path.Join(below, base), depth+1, names); err != nil {
				return err
			}
		case kind.IsRegular() && (strings.HasSuffix(base, ".yaml") || strings.HasSuffix(base, ".yml")):
			*names = append(*names, path.Join(below, base))
		}
	}
	return nil
}

// read fills in the file's content and digest.
func (f *inputFile) read() error {
	if f.data != nil {
		f.digest = digestOf(f.data)
		return nil
	}
	info, err := os.Stat(f.path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("not a regular file")
	case info.Size() > yaml11.BytesMax:
		return fmt.Errorf("%d bytes are more than %d", info.Size(), yaml11.BytesMax)
	}
	if f.data, err = os.ReadFile(f.path); err != nil {
		return err
	}
	f.digest = digestOf(f.data)
	return nil
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// inParallel calls f for 0 to n-1 on as many goroutines as there are processors
// and returns when all are done.
func inParallel(n int, f func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	var next atomic.Int64
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wait.Wait()
}

// cause is an I/O error without the path, which diagnostics name already.
func cause(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}
