package cli

import (
	"errors"
	"strings"

	"github.com/tus/tusd"
)

// problemText returns the text of an error for people. Of a broken record it tells only what
// is broken.
func problemText(err error) string {
	if problem, ok := brokenProblem(err.Error()); ok && errors.Is(err, tusd.ErrBroken) {
		return problem
	}
	return err.Error()
}

// brokenProblem returns what is broken, of a text of an error that is an ErrNotFound for
// requests: the upload is there. ok is false if the text is of another error.
func brokenProblem(text string) (problem string, ok bool) {
	_, text, ok = strings.Cut(text, tusd.ErrNotFound.Error()+": ")
	at := strings.Index(text, tusd.ErrBroken.Error())
	if !ok || at < 0 {
		return "", false
	}
	return text[at:], true
}

// removalHint tells how a broken upload is removed.
func removalHint(id string) string { return "; tusd rm " + id + " removes it" }
