package overlay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// The releases of Go 1 for which the edits were made. Prepare tries a later release too, and refuses it if an edit does not fit.
const oldest, newest = 26, 27

// An Overlay describes a build with the changed standard library.
type Overlay struct {
	File    string // for -overlay
	Go      string // the go command to call
	Env     []string
	Version string // of Go, such as go1.26.8
	Untried bool   // later than every release that the edits were made for; all edits fit
}

// Tag is the build tag for code that relies on the overlay.
const Tag = "squall_exact"

// A MisfitError reports that a release of Go is not supported, and why.
type MisfitError struct {
	Version string
	Missing []string // the places that were not found, one entry for each edit
}

func (e *MisfitError) Error() string {
	if len(e.Missing) == 0 {
		return fmt.Sprintf("%s is not supported: want Go 1.%d or 1.%d", e.Version, oldest, newest)
	}
	return fmt.Sprintf("%s is not supported: %d places that squall changes in its standard library differ from what it expects:\n  %s",
		e.Version, len(e.Missing), strings.Join(e.Missing, "\n  "))
}

// Prepare makes the overlay for the go command in the PATH, run in directory dir (the current one if dir is empty), whose go.mod may choose
// a toolchain. It reuses an overlay that was made earlier for the same release of Go. Several processes may call it at the same time.
func Prepare(ctx context.Context, dir string) (*Overlay, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("no folder for the modified standard library: %w", err)
	}
	return prepare(ctx, dir, filepath.Join(cache, "squall"), sets)
}

func prepare(ctx context.Context, dir, cache string, sets []set) (*Overlay, error) {
	env, err := goEnv(ctx, dir)
	if err != nil {
		return nil, err
	}
	o := &Overlay{Go: "go", Version: env.GOVERSION}
	minor, err := minorOf(env.GOVERSION)
	if err != nil {
		return nil, err
	}
	if minor < oldest {
		return nil, &MisfitError{Version: env.GOVERSION}
	}
	if env.GOARCH != "amd64" && env.GOARCH != "arm64" {
		return nil, fmt.Errorf("GOARCH=%s is not supported: want amd64 or arm64, whose stacks can be walked by frame pointers", env.GOARCH)
	}
	o.Untried = minor > newest
	key, err := env.key()
	if err != nil {
		return nil, err
	}
	root := env.GOROOT
	if within(root, env.GOMODCACHE) {
		// The go command refuses to replace files under GOMODCACHE. It accepts them under another name.
		if root, err = linkTo(root, filepath.Join(cache, "goroot")); err != nil {
			return nil, err
		}
		o.Go = filepath.Join(root, "bin", "go")
		o.Env = []string{"GOROOT=" + root, "GOTOOLCHAIN=local"}
	}
	o.File = filepath.Join(cache, env.GOVERSION+"-"+key+".json")
	if _, err := os.Stat(o.File); err == nil {
		return o, nil
	}
	changed, err := generate(ctx, o, dir, minor, env.GOOS, sets)
	if err != nil {
		return nil, err
	}
	return o, write(o.File, changed, filepath.Join(cache, "std"))
}

type goSettings struct {
	GOROOT, GOVERSION, GOOS, GOARCH, GOMODCACHE, CGO_ENABLED, GOEXPERIMENT, GOFLAGS string
}

func goEnv(ctx context.Context, dir string) (s goSettings, err error) {
	cmd := exec.CommandContext(ctx, "go", "env", "-json", "GOROOT", "GOVERSION", "GOOS", "GOARCH", "GOMODCACHE", "CGO_ENABLED", "GOEXPERIMENT", "GOFLAGS")
	cmd.Dir = dir
	out, err := output(cmd)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(out, &s); err != nil {
		return s, fmt.Errorf("go env: %w", err)
	}
	return s, nil
}

// key depends on everything that may change the overlay: this program and its settings, including the build tags in GOFLAGS, which decide
// which files there are.
func (s goSettings) key() (string, error) {
	h := sha256.New()
	program, err := os.Executable()
	if err == nil {
		var content []byte
		if content, err = os.ReadFile(program); err == nil {
			h.Write(content)
		}
	}
	if err != nil {
		return "", fmt.Errorf("squall cannot read its own program: %w", err)
	}
	fmt.Fprintf(h, "%q", []string{s.GOROOT, s.GOVERSION, s.GOOS, s.GOARCH, s.CGO_ENABLED, s.GOEXPERIMENT, s.GOFLAGS})
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}

var release = regexp.MustCompile(`^(?:devel )?go1\.(\d+)`)

func minorOf(version string) (int, error) {
	m := release.FindStringSubmatch(version)
	if m == nil {
		return 0, fmt.Errorf("Go version %q: want one that begins with go1", version)
	}
	return strconv.Atoi(m[1])
}

func within(path, folder string) bool {
	rel, err := filepath.Rel(folder, path)
	return folder != "" && err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// linkTo makes a symbolic link to a toolchain in a folder, and returns the link.
func linkTo(root, folder string) (string, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(root))
	link := filepath.Join(folder, fmt.Sprintf("%s-%x", filepath.Base(root), sum[:4]))
	if err := os.Symlink(root, link); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	if to, err := os.Readlink(link); err != nil || to != root {
		return "", fmt.Errorf("%s: want a link to %s (%v)", link, root, err)
	}
	return link, nil
}

// generate returns the changed and added files by the paths that they replace.
func generate(ctx context.Context, o *Overlay, dir string, minor int, goos string, sets []set) (map[string][]byte, error) {
	var edits []edit
	var files []file
	for _, s := range sets {
		for _, e := range s.edits {
			if inRange(minor, e.since, e.until) && (e.goos == "" || e.goos == goos) {
				edits = append(edits, e)
			}
		}
		for _, f := range s.files {
			if inRange(minor, f.since, f.until) {
				files = append(files, f)
			}
		}
	}
	packages, err := locate(ctx, o, dir, edits, files)
	if err != nil {
		return nil, err
	}
	misfit := &MisfitError{Version: o.Version}
	for _, e := range edits {
		if err := packages[e.pkg].apply(e); err != nil {
			misfit.Missing = append(misfit.Missing, err.Error())
		}
	}
	if len(misfit.Missing) > 0 {
		return nil, misfit
	}
	changed := map[string][]byte{}
	for _, p := range packages {
		for _, f := range p.files {
			if len(f.splices) == 0 {
				continue
			}
			text, err := f.changed()
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", p.path, f.name, err)
			}
			changed[filepath.Join(p.dir, f.name)] = text
		}
	}
	for _, f := range files {
		text, err := sources.ReadFile("files/" + f.pkg + "/" + f.name + ".txt")
		if err != nil {
			return nil, err
		}
		changed[filepath.Join(packages[f.pkg].dir, f.name)] = text
	}
	return changed, nil
}

// locate reads the packages to change.
func locate(ctx context.Context, o *Overlay, dir string, edits []edit, files []file) (map[string]*pkgSource, error) {
	paths := map[string]bool{}
	for _, e := range edits {
		paths[e.pkg] = true
	}
	for _, f := range files {
		paths[f.pkg] = true
	}
	const format = `{{.ImportPath}}{{"\t"}}{{.Dir}}{{range .GoFiles}}{{"\t"}}{{.}}{{end}}{{range .CgoFiles}}{{"\t"}}{{.}}{{end}}`
	cmd := exec.CommandContext(ctx, o.Go, append([]string{"list", "-f", format}, slices.Sorted(maps.Keys(paths))...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), o.Env...)
	out, err := output(cmd)
	if err != nil {
		return nil, err
	}
	packages := map[string]*pkgSource{}
	for line := range strings.Lines(string(out)) {
		words := strings.Split(strings.TrimSpace(line), "\t")
		p, err := readPackage(words[0], words[1], words[2:])
		if err != nil {
			return nil, unreadable(o.Version, runtime.Version(), err)
		}
		packages[p.path] = p
	}
	return packages, nil
}

// unreadable returns the error for a release of the standard library that this program cannot read. A program built by an earlier release
// does not know the syntax of a later one.
func unreadable(version, builtBy string, err error) error {
	if version == builtBy {
		return fmt.Errorf("the standard library in GOROOT cannot be read: %w", err)
	}
	return fmt.Errorf("the standard library of %s in GOROOT cannot be read by this squall, which was built with %s: build it with %s, as go tool squall and go run do in a module that uses that release: %w", version, builtBy, version, err)
}

// write saves the files under names that follow from their content, so that the build cache recognises them. It writes the overlay file
// last, so the overlay file never exists without them.
func write(overlay string, changed map[string][]byte, folder string) error {
	replace := map[string]string{}
	for path, text := range changed {
		sum := sha256.Sum256(text)
		kept := filepath.Join(folder, fmt.Sprintf("%s-%x.go", strings.TrimSuffix(filepath.Base(path), ".go"), sum[:8]))
		replace[path] = kept
		if old, err := os.ReadFile(kept); err == nil && bytes.Equal(old, text) {
			continue
		}
		if err := writeWhole(kept, text); err != nil {
			return err
		}
	}
	return writeWhole(overlay, overlayJSON(replace))
}

func overlayJSON(replace map[string]string) []byte {
	text, err := json.MarshalIndent(map[string]any{"Replace": replace}, "", "\t")
	if err != nil {
		panic(err) // impossible for two maps of strings
	}
	return append(text, '\n')
}

// writeWhole writes a file so that others see either the whole file or no file.
func writeWhole(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// output runs a command. Its error contains the command's error output.
func output(cmd *exec.Cmd) ([]byte, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", filepath.Base(cmd.Path), cmd.Args[1], err, stderr.Bytes())
	}
	return out, nil
}
