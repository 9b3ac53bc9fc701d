package cli

import (
	"errors"
	"flag"
	"strconv"
	"strings"
)

// quotedValue is a flag whose value may be in quotes, and on and off by more
// words than package flag knows: on the command line, in a variable or in a
// file.
type quotedValue struct{ flag.Value }

func (w quotedValue) Set(text string) error {
	text, err := unquote(text)
	if err == nil && w.IsBoolFlag() && !isRefusal(w.Value) {
		text, err = parseBool(text)
	}
	if err != nil {
		return err
	}
	return w.Value.Set(text)
}

// IsBoolFlag reports whether the flag may stand without a value.
func (w quotedValue) IsBoolFlag() bool {
	b, ok := w.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// unquote returns the text between quotes; there are no escapes. A text that
// does not begin with a quote is returned as it is, like it's.
func unquote(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if first := text[0]; first == '"' || first == '\'' {
		inner, last, closed := strings.Cut(text[1:], string(first))
		switch {
		case !closed:
			return "", errors.New("begins with a quote that is not closed")
		case last != "":
			return "", errors.New("goes on behind its closing quote: quotes belong around the whole value, and those of the other kind may stand in it")
		}
		return inner, nil
	}
	if last := text[len(text)-1:]; strings.Contains(`"'`, last) && strings.Count(text, last)%2 == 1 {
		return "", errors.New("ends with a quote that is not opened: put all of it into quotes of the other kind if that is meant")
	}
	return text, nil
}

// parseBool returns true or false for the words that operators use for them.
func parseBool(text string) (string, error) {
	word := strings.ToLower(strings.TrimSpace(text))
	switch word {
	case "yes", "on":
		return "true", nil
	case "no", "off":
		return "false", nil
	}
	if _, err := strconv.ParseBool(word); err != nil {
		return "", errors.New("must be true or false, yes or no, on or off, 1 or 0")
	}
	return word, nil
}
