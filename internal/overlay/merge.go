package overlay

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Merge merges our overlay with the user's, and returns the file of the result. Relative paths in the user's overlay are relative to dir,
// or to the current folder if dir is empty. It is an error if both replace the same file.
func Merge(ours, users, dir string) (string, error) {
	replace, err := readOverlay(ours)
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(users) {
		users = filepath.Join(dir, users)
	}
	theirs, err := readOverlay(users)
	if err != nil {
		return "", err
	}
	for _, path := range slices.Sorted(maps.Keys(theirs)) {
		to := theirs[path]
		from, err := absolute(dir, path)
		if err != nil {
			return "", err
		}
		if _, both := replace[from]; both {
			return "", fmt.Errorf("-overlay %s replaces %s, which exact mode replaces too", users, from)
		}
		if to != "" { // "" deletes the file
			if to, err = absolute(dir, to); err != nil {
				return "", err
			}
		}
		replace[from] = to
	}
	text := overlayJSON(replace)
	sum := sha256.Sum256(text)
	file := filepath.Join(filepath.Dir(ours), "merged", fmt.Sprintf("%x.json", sum[:8]))
	return file, writeWhole(file, text)
}

func absolute(dir, path string) (string, error) {
	if filepath.IsAbs(path) {
		return filepath.Clean(path), nil
	}
	return filepath.Abs(filepath.Join(dir, path))
}

func readOverlay(file string) (map[string]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("-overlay: %w", err)
	}
	var o struct{ Replace map[string]string }
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, fmt.Errorf("-overlay %s: %w", file, err)
	}
	if o.Replace == nil {
		o.Replace = map[string]string{}
	}
	return o.Replace, nil
}
