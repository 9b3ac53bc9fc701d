// Package hooktest holds the hooks of all transports against the same expectations, over real
// HTTP: what an answer does, which events come, and how messages look.
package hooktest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Application is what a hook is connected to: a folder, so that other processes can be it, too.
// The folder answers has the answer to each type of event, and the file log has a line for
// each message.
type Application struct{ Dir string }

// Answer keeps a message, and returns the answer to this type of event.
func (a Application) Answer(event string, message []byte) ([]byte, error) {
	log, err := os.OpenFile(a.Log(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = log.Write(append(message, '\n'))
	if err := errors.Join(err, log.Close()); err != nil {
		return nil, err
	}
	answer, err := os.ReadFile(a.AnswerFile(event))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return answer, err
}

// Log returns the name of the file with the messages.
func (a Application) Log() string { return filepath.Join(a.Dir, "log") }

// AnswerFile returns the name of the file with the answer to a type of event.
func (a Application) AnswerFile(event string) string { return filepath.Join(a.Dir, "answers", event) }
