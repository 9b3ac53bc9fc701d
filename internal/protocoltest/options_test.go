package protocoltest

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tus/tusd"
)

func TestOptions(t *testing.T) {
	runOn(t, memoryStore, protocols, []scenario{
		{"case001_options", "OPTIONS of the creation URL needs no version and names versions, extensions and the limit", optionsCreation},
		{"case002_any_version", "OPTIONS ignores Tus-Resumable, whatever it is", optionsAnyVersion},
		{"case003_upload", "OPTIONS of an upload, known or not, answers the same", optionsUpload},
		{"case004_version_grammar", "Tus-Version is a list x.y.z(,x.y.z)*", optionsVersionGrammar},
		{"case005_extensions", "Tus-Extension has no duplicates, and creation if it has creation-with-upload", optionsExtensions},
		{"case007_no_extensions", "without extensions there is no Tus-Extension", optionsNoExtensions},
		{"case008_no_limit", "without a limit there is no Tus-Max-Size", optionsNoLimit},
		{"limit_of_store", "if the limit of the store is smaller than that of the configuration, it counts", optionsLimitOf(1000, 500)},
		{"limit_of_store_alone", "the limit of the store is told if the configuration has none", optionsLimitOf(0, 500)},
		{"limit_below_store", "the store can keep more than the configuration allows", optionsLimitOf(300, 300)},
		{"switched_off_is_not_advertised", "an extension that is switched off or that the store lacks is not advertised", optionsSwitchedOff},
	})
}

func (c *client) options(target string, header ...string) *answer {
	c.env.Helper()
	return c.do(http.MethodOptions, target, nil, header...)
}

// extensions returns what the server advertises.
func (c *client) extensions() []string {
	c.env.Helper()
	value := c.options("/files/").status(200, 204).Header.Get("Tus-Extension")
	if value == "" {
		return nil
	}
	return strings.Split(value, ",")
}

func optionsCreation(e *env) {
	e.config.MaxSize = 1000
	a := e.options("/files/").status(200).header("Tus-Version", "1.0.0").header("Tus-Max-Size", "1000")
	a.headerMatches("Tus-Extension", "creation")
	if len(a.Body) > 0 {
		e.Errorf("OPTIONS has a body: %q", a.Body)
	}
}

// limitedStore cannot keep uploads of more than 500 bytes.
type limitedStore struct{ tusd.DataStore }

func (s limitedStore) Open(ctx context.Context, env tusd.Env) error {
	env.LimitSize(500)
	return s.DataStore.Open(ctx, env)
}

func optionsLimitOf(configured, want int64) func(*env) {
	return func(e *env) {
		e.config.MaxSize = configured
		e.config.StoreComposer.Core = limitedStore{e.config.StoreComposer.Core}
		e.options("/files/").status(200).header("Tus-Max-Size", strconv.FormatInt(want, 10))
		e.post("Upload-Length: " + strconv.FormatInt(want+1, 10)).status(413).code("ERR_MAX_SIZE_EXCEEDED")
		e.create(want)
	}
}

func optionsAnyVersion(e *env) {
	for _, v := range []string{"9.9.9", "", "garbage", "1.0.0, 1.0.0"} {
		e.options("/files/", "Tus-Resumable: "+v).status(200).header("Tus-Version", "1.0.0").headerMatches("Tus-Extension", "creation")
	}
}

func optionsUpload(e *env) {
	u := e.create(100)
	for _, target := range []string{u, "/files/unknown"} {
		e.options(target).status(200).header("Tus-Version", "1.0.0").headerMatches("Tus-Extension", "creation")
	}
}

func optionsVersionGrammar(e *env) {
	e.options("/files/").headerMatches("Tus-Version", `^[0-9]+\.[0-9]+\.[0-9]+(,[0-9]+\.[0-9]+\.[0-9]+)*$`)
}

func optionsExtensions(e *env) {
	got := e.extensions()
	for _, want := range []string{"creation", "creation-with-upload", "creation-defer-length", "termination", "concatenation", "concatenation-unfinished"} {
		if !slices.Contains(got, want) {
			e.Errorf("Tus-Extension %q lacks %s", got, want)
		}
	}
	slices.Sort(got)
	if n := len(got); n != len(slices.Compact(got)) {
		e.Errorf("Tus-Extension has duplicates: %q", got)
	}
	if !regexp.MustCompile(`^[a-z-]+(,[a-z-]+)*$`).MatchString(strings.Join(got, ",")) {
		e.Errorf("Tus-Extension %q is not a plain list of names", got)
	}
}

func optionsNoExtensions(e *env) {
	e.config.DisableCreation = true
	e.config.DisableTermination = true
	e.config.DisableConcatenation = true
	e.config.DisableDeferLength = true
	e.config.DisableChecksum = true
	e.options("/files/").status(200).without("Tus-Extension")
}

func optionsNoLimit(e *env) { e.options("/files/").status(200).without("Tus-Max-Size") }

func optionsSwitchedOff(e *env) {
	composer := tusd.NewStoreComposer()
	composer.Core = e.config.StoreComposer.Core // and nothing else of it
	e.config.StoreComposer = composer
	want := []string{"creation", "creation-with-upload"}
	if got := e.extensions(); !slices.Equal(got, want) {
		e.Errorf("a store without abilities advertises %q, want %q", got, want)
	}
}
