package eventcheck

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// message is a call about the upload a. Events of a type have one id.
func message(kind, id string) string {
	sequence := map[string]int{"post-create": 1, "post-finish": 2, "post-terminate": 3}[kind]
	return fmt.Sprintf(`{"Type":%q,"Event":{"ID":%q,"Sequence":%d,"Upload":{"ID":%q,"Size":5,"Offset":5}}}`, kind, "event of "+kind, sequence, id)
}

func TestCheck(t *testing.T) {
	created, finished, removed := Upload{}, Upload{Finished: true}, Upload{Finished: true, Removed: true}
	for _, c := range []struct {
		name   string
		calls  string // types of events
		upload Upload
		asked  bool
		fails  bool
	}{
		{name: "all", calls: "post-create post-receive post-finish post-terminate", upload: removed},
		{name: "repetitions", calls: "post-create post-create post-finish post-create post-finish post-terminate post-finish", upload: removed},
		{name: "with pre-finish", calls: "post-create pre-finish post-finish", upload: finished, asked: true},
		{name: "only created", calls: "post-create", upload: created},

		{name: "no create", calls: "post-finish", upload: finished, fails: true},
		{name: "no finish", calls: "post-create post-terminate", upload: removed, fails: true},
		{name: "no terminate", calls: "post-create post-finish", upload: removed, fails: true},
		{name: "finish of an unfinished upload", calls: "post-create post-finish", upload: created, fails: true},
		{name: "terminate of an upload that is there", calls: "post-create post-finish post-terminate", upload: finished, fails: true},
		{name: "finish before create", calls: "post-finish post-create", upload: finished, fails: true},
		{name: "terminate before finish", calls: "post-create post-terminate post-finish", upload: removed, fails: true},
		{name: "receive after terminate", calls: "post-create post-finish post-terminate post-receive", upload: removed, fails: true},
		{name: "finish before pre-finish", calls: "post-create post-finish pre-finish", upload: finished, asked: true, fails: true},
		{name: "no pre-finish", calls: "post-create post-finish", upload: finished, asked: true, fails: true},
	} {
		e := New(1)
		for _, kind := range strings.Fields(c.calls) {
			e.accept([]byte(message(kind, "a")), true)
		}
		if err := e.Check(map[string]Upload{"a": c.upload}, c.asked); (err != nil) != c.fails {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestCheckOfOthers(t *testing.T) {
	for name, text := range map[string]string{
		"an upload that never was":  message("post-create", "b"),
		"a message without JSON":    "hello",
		"another id of an event":    strings.Replace(message("post-create", "a"), "event of", "other of", 1),
		"an event without an id":    strings.Replace(message("post-create", "a"), "event of post-create", "", 1),
		"a finish before the bytes": strings.Replace(message("post-finish", "a"), `"Offset":5`, `"Offset":4`, 1),
	} {
		e := New(1)
		e.accept([]byte(message("post-create", "a")), true)
		e.accept([]byte(text), true)
		if err := e.Check(map[string]Upload{"a": {Finished: strings.Contains(text, "post-finish")}}, false); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A third of the calls fail, and the endpoint has what it has answered.
func TestEndpoint(t *testing.T) {
	e := New(1)
	url, stop := e.Serve()
	defer stop()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	const calls = 300
	answers, statuses := 0, make(map[int]int)
	for range calls {
		answer, err := client.Post(url, "application/json", strings.NewReader(message("pre-finish", "a")))
		if err != nil {
			continue
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		answers++
		statuses[answer.StatusCode]++
	}
	cut := calls - answers
	if refused := statuses[500]; e.failed != refused+cut || e.failed < calls/5 || e.failed > calls/2 || refused == 0 || cut <= refused {
		t.Errorf("%d failures, %d of them answers with 500, %d cut", e.failed, refused, cut)
	}
	if n := len(e.accepted); n <= statuses[200] || n >= calls || !e.Agreed("a") || e.Agreed("b") {
		t.Errorf("%d calls accepted, %d answered with 200", n, statuses[200])
	}
}
