package sweep

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A binary holds the compiled tests of a package.
type binary struct {
	pkg, dir, file, sum string
}

// build compiles the tests of packages, each package once, into a folder. It leaves out packages without tests, and packages whose tests do
// not depend on package sim, because those tests have no seeds.
func build(ctx context.Context, c *Config, into string) (all []binary, err error) {
	flags := c.Build
	if c.Exact != nil {
		flags = slices.Concat(flags, c.Exact.Flags)
	}
	args := append([]string{"list", "-test", "-deps=false", "-json=ImportPath,Dir,ForTest,Deps,TestGoFiles,XTestGoFiles,Name,Module"}, flags...)
	out, err := c.goCommand(ctx, append(args, c.Packages...)...)
	if err != nil {
		return nil, err
	}
	dirs := map[string]string{}
	for in := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath, Dir, ForTest, Name string
			Deps                           []string
		}
		if err := in.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if p.ForTest == "" && !strings.HasSuffix(p.ImportPath, ".test") {
			dirs[p.ImportPath] = p.Dir
			continue
		}
		pkg, isMain := strings.CutSuffix(p.ImportPath, ".test")
		if !isMain || !simulates(p.Deps) {
			continue
		}
		all = append(all, binary{pkg: pkg, dir: dirs[pkg], file: filepath.Join(into, fmt.Sprintf("%d.test", len(all)))})
	}
	for i := range all {
		b := &all[i]
		args := append([]string{"test", "-c", "-o", b.file}, flags...)
		if _, err := c.goCommand(ctx, append(args, b.pkg)...); err != nil {
			return nil, err
		}
		text, err := os.ReadFile(b.file)
		if err != nil {
			return nil, err
		}
		b.sum = fmt.Sprintf("%x", sha256.Sum256(text))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no test of %s uses the simulated network", strings.Join(c.Packages, " "))
	}
	return all, nil
}

// simulates reports whether the dependencies of a test include package sim, or the variant of sim that is built for its own tests.
func simulates(deps []string) bool {
	for _, d := range deps {
		if d, _, _ = strings.Cut(d, " "); d == "github.com/squall-sim/squall/sim" {
			return true
		}
	}
	return false
}

func (c *Config) goCommand(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	if c.Exact != nil {
		cmd = exec.CommandContext(ctx, c.Exact.Go, args...)
		cmd.Env = append(os.Environ(), c.Exact.Env...)
	}
	cmd.Dir = c.In
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, strings.TrimSpace(said.String()+out.String()))
	}
	return out.Bytes(), nil
}
