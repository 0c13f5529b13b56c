package squall_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// api is what a package exports: the text of each signature and field type, by
// "Name", "Type.Method" or "Type.Field", and what of it has no sentence.
type api struct {
	text    map[string]string
	silent  []string
	comment bool // of the package
	example bool
}

// readAPI reads the package in a folder.
func readAPI(t *testing.T, dir string) *api {
	t.Helper()
	a := &api{text: map[string]string{}}
	set := token.NewFileSet()
	files, err := filepath.Glob(dir + "/*.go")
	require.NoError(t, err)
	for _, name := range files {
		file, err := parser.ParseFile(set, name, nil, parser.ParseComments)
		require.NoError(t, err)
		if strings.HasSuffix(name, "_test.go") {
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Example") {
					a.example = true
				}
			}
			continue
		}
		a.comment = a.comment || file.Doc.Text() != ""
		for _, d := range file.Decls {
			a.declaration(d)
		}
	}
	return a
}

// enter notes an exported name. said is what its comments say.
func (a *api) enter(name string, node ast.Node, said string) {
	var text bytes.Buffer
	if node != nil {
		printer.Fprint(&text, token.NewFileSet(), node)
	}
	a.text[name] = strings.Join(strings.Fields(text.String()), " ")
	if strings.TrimSpace(said) == "" {
		a.silent = append(a.silent, name)
	}
}

func (a *api) declaration(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			if d.Name.IsExported() {
				a.enter(d.Name.Name, d.Type, d.Doc.Text())
			}
		} else if of := receiver(d.Recv.List[0].Type); ast.IsExported(of) && d.Name.IsExported() {
			a.enter(of+"."+d.Name.Name, d.Type, d.Doc.Text())
		}
	case *ast.GenDecl:
		above := ""
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() {
					a.enter(spec.Name.Name, spec.Type, d.Doc.Text()+spec.Doc.Text()+spec.Comment.Text())
					a.members(spec, d.Doc.Text()+spec.Doc.Text())
				}
			case *ast.ValueSpec:
				above += spec.Doc.Text()
				for _, name := range spec.Names {
					if !name.IsExported() {
						continue
					}
					said := d.Doc.Text() + spec.Doc.Text() + spec.Comment.Text()
					if said == "" && names(above, name.Name) {
						said = above
					}
					a.enter(name.Name, spec.Type, said)
				}
			}
		}
	}
}

// members enters the fields of a struct and the methods of an interface. A comment above,
// that of the type included, is for all that it names.
func (a *api) members(spec *ast.TypeSpec, above string) {
	var list *ast.FieldList
	switch t := spec.Type.(type) {
	case *ast.StructType:
		list = t.Fields
	case *ast.InterfaceType:
		list = t.Methods
	default:
		return
	}
	for _, field := range list.List {
		above += field.Doc.Text()
		for i, name := range field.Names {
			if !name.IsExported() {
				continue
			}
			said := field.Doc.Text() + field.Comment.Text()
			if said == "" || i > 0 && field.Comment.Text() == "" {
				said = ""
				if names(above, name.Name) {
					said = above
				}
			}
			a.enter(spec.Name.Name+"."+name.Name, field.Type, said)
		}
	}
}

// names reports whether a text has the name in it.
func names(text, name string) bool {
	return slices.Contains(strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }), name)
}

func receiver(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.IndexListExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	}
	return ""
}

// A name of one thing is the same in every pattern: the page "Vocabulary of the patterns"
// in CONTRIBUTING.md says why. An empty text: of any type.
var vocabulary = []struct {
	pkg, of string
	words   map[string]string
}{
	{"longpoll", "Server", both(server, httpServer, feed, limited)},
	{"shortpoll", "Server", both(server, httpServer, feed)},
	{"shortpoll", "Jobs", both(server, httpServer)},
	{"stream", "Server", both(server, httpServer, feed, limited)},
	{"push", "Server", both(server, httpServer, messages, limited)},
	{"pubsub", "Broker", both(server, messages, limited, words{
		"Serve":        "func(l net.Listener) error",
		"Authenticate": "func(ctx context.Context, h Hello) (access.Identity, error)",
	})},
	{"longpoll", "Client", both(client, httpClient, from, words{"Run": "func(ctx context.Context, handle func(context.Context, Batch) error) error"})},
	{"shortpoll", "Client", both(client, httpClient, from, words{"Run": "func(ctx context.Context, handle func(context.Context, Batch) error) error"})},
	{"stream", "Client", both(client, httpClient, words{
		"Run":         "func(ctx context.Context, handle func(context.Context, Event) error) error",
		"LastEventID": "string", // of any server, not only of one with a log
		"FromNow":     "bool",
	})},
	{"push", "Client", both(client, httpClient, words{
		"Run":             "func(ctx context.Context, handle func(context.Context, Event) error) error",
		"From":            "eventlog.Cursor", // who has none gets a snapshot: there is no FromNow
		"MaxMessageBytes": "int",
	})},
	{"pubsub", "Client", both(client, messages, words{
		"Subscribe": "func(ctx context.Context, o SubscribeOptions) (*Subscription, error)",
		"Close":     "func() error",
		"Token":     "func(context.Context) (string, error)",
	})},
	{"mux", "Config", words{"Check": "func() error", "Logger": "*slog.Logger", "Jitter": "retry.Jitter"}},
	{"mux", "Session", words{"Stats": "", "Drain": "func(ctx context.Context) error", "Close": "func() error"}},
	{"mux", "Client", words{
		"Check": "func() error", "Stats": "func() ClientStats", "Close": "func() error",
		"Drain":   "func(ctx context.Context) error",
		"Backoff": "retry.Backoff", "Jitter": "retry.Jitter",
		"OnRetry": "func(err error, delay time.Duration)",
	}},
	{"session", "Manager", words{"Check": "func() error", "Stats": "", "Logger": "*slog.Logger", "Handler": "func(next http.Handler) http.Handler"}},
	{"session", "Sticky", words{"Check": "func() error", "Stats": "", "Handler": "func() http.Handler"}},
	{"mux", "Pool", words{"Check": "func() error", "Stats": "", "Close": "func() error"}},
	{"async", "Server", words{
		"Check": "func() error", "Stats": "", "Drain": "func(ctx context.Context) error", "Close": "func() error", "Logger": "*slog.Logger",
		"Handler":      "func() http.Handler",
		"Authenticate": "func(*http.Request) (access.Identity, error)",
	}},
	{"async", "Client", words{"Check": "func() error"}}, // the rest is that of its shortpoll.Client
	{"async", "Pool", words{"Check": "func() error", "Stats": ""}},
	{"async/webhook", "Sender", words{
		"Check": "func() error", "Stats": "", "HTTP": "*http.Client", "Jitter": "retry.Jitter", "Logger": "*slog.Logger",
		"OnRetry": "func(err error, delay time.Duration)",
	}},
	{"async/webhook", "Receiver", words{
		"Check": "func() error", "Stats": "", "Handler": "func() http.Handler", "MaxMessageBytes": "int", "Logger": "*slog.Logger",
	}},
	{"async/outbox", "Relay", words{
		"Check": "func() error", "Stats": "", "Backoff": "retry.Backoff", "Jitter": "retry.Jitter", "Logger": "*slog.Logger",
		"OnRetry": "func(err error, delay time.Duration)",
	}},
	{"async/saga", "Saga", words{
		"Check": "func() error", "Backoff": "retry.Backoff", "Jitter": "retry.Jitter", "MaxAttempts": "int",
		"OnRetry": "func(err error, delay time.Duration)",
	}},
	{"async/workqueue", "Queue", words{
		"Check": "func() error", "Stats": "", "Drain": "func(ctx context.Context) error", "Close": "func() error", "Logger": "*slog.Logger",
		"Handler":      "func() http.Handler",
		"Authenticate": "func(*http.Request) (access.Identity, error)",
	}},
	{"async/workqueue", "Client", both(client, httpClient)},
	{"async/workqueue", "Worker", words{
		"Check": "func() error", "Stats": "", "Backoff": "retry.Backoff", "Jitter": "retry.Jitter",
		"OnRetry": "func(err error, delay time.Duration)", "Logger": "*slog.Logger",
		"Run": "func(ctx context.Context, handle func(ctx context.Context, t Task) ([]byte, error)) error",
	}},
	{"reqresp", "Server", both(httpServer, limited, words{
		"Store":  "Store", // what the others have a Log for
		"Serve":  "func(l net.Listener) error",
		"Logger": "*slog.Logger",
		"Check":  "func() error",
		"Stats":  "",
		"Drain":  "func(ctx context.Context) error",
		"Close":  "func() error",
	})},
	{"reqresp", "Client", both(client, httpClient, words{
		"Call":   "func(ctx context.Context, r Request) (*Response, error)",
		"Close":  "func() error",
		"Dial":   "func(context.Context) (net.Conn, error)",
		"Budget": "*retry.Budget",
	})},
	{"sidecar", "Proxy", both(limited, words{
		"Serve": "func(l net.Listener) error", "Check": "func() error", "Stats": "func() ProxyStats", "Logger": "*slog.Logger",
		"Drain": "func(ctx context.Context) error", "Close": "func() error",
	})},
	{"sidecar", "Upstream", words{
		"Check": "func() error", "Stats": "func() UpstreamStats", "Logger": "*slog.Logger",
		"Backoff": "retry.Backoff", "Jitter": "retry.Jitter", "Budget": "*retry.Budget",
		"Timeout": "time.Duration", "AttemptTimeout": "time.Duration", "MaxAttempts": "int",
	}},
	{"sidecar", "Breaker", words{"Check": "func() error", "Stats": "func() BreakerStats"}},
	{"pubsub", "SubscribeOptions", both(from, words{"Check": "func() error", "Reset": "ResetPolicy"})},
}

type words = map[string]string

var (
	server = words{
		"Log":    "eventlog.Log",
		"Logger": "*slog.Logger",
		"Check":  "func() error",
		"Stats":  "",
		"Drain":  "func(ctx context.Context) error",
		"Close":  "func() error",
	}
	httpServer = words{
		"Handler":      "func() http.Handler",
		"Authenticate": "func(*http.Request) (access.Identity, error)",
	}
	feed     = words{"Publish": "func(ctx context.Context, topic string, data []byte) (eventlog.Cursor, error)"}
	messages = words{"Publish": "func(ctx context.Context, m Message) (Receipt, error)"}
	limited  = words{"MaxClients": "int"}
	client   = words{
		"Check":   "func() error",
		"Stats":   "func() ClientStats",
		"Backoff": "retry.Backoff",
		"Jitter":  "retry.Jitter",
		"OnRetry": "func(err error, delay time.Duration)",
		"Logger":  "*slog.Logger",
	}
	httpClient = words{
		"URL":    "string",
		"HTTP":   "*http.Client",
		"Header": "func(context.Context) (http.Header, error)",
	}
	from = words{"From": "eventlog.Cursor", "FromNow": "bool"}
)

func both(all ...words) words {
	sum := words{}
	for _, w := range all {
		for name, text := range w {
			sum[name] = text
		}
	}
	return sum
}

// Words for what has another name now, and what is said instead.
var retired = map[string]string{
	"Feed": "Server", "Follow": "Run", "OnEvent": "Run's handle", "HandshakeError": "retry.StatusError",
	"MinDelay": "Backoff", "MaxDelay": "Backoff", "Floor": "Backoff.Min", "HintMax": "Backoff.RetryAfterMax",
	"Rand": "Jitter", "Spread": "Backoff or RetrySpread", "MaxParked": "MaxClients", "MaxSessions": "MaxClients",
	"MaxStreams": "MaxClients", "MaxEvent": "MaxMessageBytes", "MaxAnswer": "MaxAnswerBytes",
	"ResetEpoch": "eventlog.ReasonWrongEpoch", "ReasonEpoch": "eventlog.ReasonWrongEpoch", "Start": "From and FromNow",
	"Beginning": "From and FromNow", "ErrTooLarge": "eventlog.ErrTooLarge", "ErrTooLong": "eventlog.ErrTooLarge",
	"ErrAnswerTooLong": "eventlog.ErrTooLarge", "StatusError": "retry.StatusError", "Tokens": "access.Tokens",
	"Identity": "access.Identity", "Match": "access.Match", "NewServer": "a literal", "NewBroker": "a literal", "NewClient": "a literal",
	"ServerOptions": "fields of Server", "BrokerOptions": "fields of Broker", "ClientOptions": "fields of Client",
}

// What is retired elsewhere and meant here.
var notRetired = []string{
	"shortpoll.Jobs.Start", "async/workqueue.Queue.Start", "async.Server.Start", "async.Client.Start", "stream.Decoder.Feed", // verbs
	"mux.Config.MaxStreams",                             // not of clients: of one client
	"reqresp.Request.Identity",                          // is an access.Identity
	"session.Memory.MaxSessions", "session.ErrTooLarge", // of what people call a session, which is no connection, and no event
}

func TestVocabularyOfThePatterns(t *testing.T) {
	apis := map[string]*api{}
	for _, row := range vocabulary {
		if apis[row.pkg] == nil {
			apis[row.pkg] = readAPI(t, "patterns/"+row.pkg)
		}
		for word, want := range row.words {
			name := row.of + "." + word
			got, there := apis[row.pkg].text[name]
			if !there {
				t.Errorf("%s.%s: there is none", row.pkg, name)
			} else if want != "" && got != want {
				t.Errorf("%s.%s is %s: want %s", row.pkg, name, got, want)
			}
		}
	}
	for pkg, a := range apis {
		for name, text := range a.text {
			last := name[strings.LastIndex(name, ".")+1:]
			full := pkg + "." + name
			if instead, gone := retired[last]; gone && !slices.Contains(notRetired, full) {
				t.Errorf("%s: the word for it is %s", full, instead)
			}
			of, field, member := strings.Cut(name, ".")
			if member && strings.HasSuffix(of, "Stats") && ast.IsExported(field) && strings.Contains(text, "int") && !strings.Contains(text, "int64") {
				t.Errorf("%s is %s: counters are int64", full, text)
			}
			if strings.HasSuffix(name, ".Stats") && !strings.HasPrefix(text, "func() ") {
				t.Errorf("%s is %s: want func() and a type", full, text)
			}
		}
	}
}

// What is exported has a sentence, and each package a comment and an Example, but for
// those that nobody else imports.
func TestWhatIsExportedIsDocumented(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}} {{.Name}}", "./...").Output()
	require.NoError(t, err)
	root, err := filepath.Abs(".")
	require.NoError(t, err)
	looked := 0
	for line := range strings.Lines(string(out)) {
		dir, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		rel, err := filepath.Rel(root, dir)
		require.NoError(t, err)
		if name == "main" || within(filepath.ToSlash(rel), "scenarios") || slices.Contains(strings.Split(filepath.ToSlash(rel), "/"), "internal") {
			continue
		}
		a := readAPI(t, rel)
		if len(a.text) == 0 { // it is made of tests
			continue
		}
		looked++
		if !a.comment {
			t.Errorf("package %s has no comment", rel)
		}
		if !a.example {
			t.Errorf("package %s has no Example", rel)
		}
		slices.Sort(a.silent)
		for _, name := range a.silent {
			t.Errorf("%s: %s has no sentence", rel, name)
		}
	}
	require.Greater(t, looked, 8, "the packages were not found")
}
