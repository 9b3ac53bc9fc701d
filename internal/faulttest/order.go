//go:build linux

package faulttest

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// CheckOrder proves from a trace that nothing was acknowledged before it was on
// the disk (level ack):
//
//   - an answer that shows an offset began when every byte below it had been
//     written and then synced;
//   - a 201 began when the record had been written and synced, and its name
//     and that of the data were in a synced directory;
//   - the 204 of a DELETE began when the directory had been synced without
//     them.
//
// It returns the number of answers of these three kinds.
func CheckOrder(calls []*Call) (answers int, err error) {
	requests := make(map[string][2]string) // by connection: method and id of the last one
	for _, call := range calls {
		connection := field(socketName, call.Args)
		switch {
		case connection == "":
		case call.Name == "read":
			if m := requestLine.FindStringSubmatch(call.Args); m != nil {
				requests[connection] = [2]string{m[1], path.Base(m[2])}
			}
		case call.Name == "write":
			request := requests[connection]
			checked, wrong := checkAnswer(calls, call, request[0], request[1])
			if wrong != nil {
				err = errors.Join(err, fmt.Errorf("line %d, answer to %s %s: %w", call.Began+1, request[0], request[1], wrong))
			}
			answers += checked
		}
	}
	return answers, err
}

var (
	requestLine  = regexp.MustCompile(`, "(POST|HEAD|PATCH|DELETE) (\S+) HTTP/1`)
	statusLine   = regexp.MustCompile(`, "HTTP/1\.1 (\d+) `)
	offsetField  = regexp.MustCompile(`\\nUpload-Offset: (\d+)\\r`)
	locationName = regexp.MustCompile(`\\nLocation: \S*/([^/\\]+)\\r`)
	socketName   = regexp.MustCompile(`^\d+<socket:(\[\d+\])>`)
	fileName     = regexp.MustCompile(`^\d+<(/[^>]*)>`)
	fileResult   = regexp.MustCompile(`^\d+<(/[^>]*)>`)
	linkNames    = regexp.MustCompile(`^\d+<(/[^>]*)>, "([^"]*)", \d+<(/[^>]*)>, "([^"]*)"`)
	entryName    = regexp.MustCompile(`^\d+<(/[^>]*)>, "([^"]*)"`)
	copyTarget   = regexp.MustCompile(`, \d+<(/[^>]*)>, `)
	writeOffset  = regexp.MustCompile(`, (\d+)$`)
)

// field is the first group of pattern in text, "" if it does not match.
func field(pattern *regexp.Regexp, text string) string {
	if m := pattern.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

// checkAnswer checks one answer and returns the number of its promises.
func checkAnswer(calls []*Call, answer *Call, method, id string) (promises int, err error) {
	status := field(statusLine, answer.Args)
	if location := field(locationName, answer.Args); location != "" {
		id = location
	}
	if offset, e := strconv.ParseInt(field(offsetField, answer.Args), 10, 64); e == nil {
		promises++
		err = checkData(calls, answer, id, offset)
	}
	switch {
	case method == "POST" && status == "201":
		promises++
		err = errors.Join(err, checkNames(calls, answer, id, true), checkRecord(calls, answer, id))
	case method == "DELETE" && status == "204":
		promises++
		err = errors.Join(err, checkNames(calls, answer, id, false))
	}
	return promises, err
}

// checkData: all writes below offset are synced, and there is one up to it.
func checkData(calls []*Call, answer *Call, id string, offset int64) error {
	reached := int64(0)
	for _, call := range calls {
		name, from, to, ok := written(call)
		if !ok || path.Base(name) != id || from >= offset || call.Began > answer.Began {
			continue
		}
		if call.Ended > answer.Began {
			return fmt.Errorf("offset %d is shown while bytes from %d are being written", offset, from)
		}
		if !syncedBetween(calls, name, call, answer) {
			return fmt.Errorf("offset %d is shown, but bytes from %d are not synced (line %d)", offset, from, call.Ended+1)
		}
		reached = max(reached, to)
	}
	if reached < offset {
		return fmt.Errorf("offset %d is shown, but only %d bytes are written", offset, reached)
	}
	return nil
}

// written returns the bytes and the file that a call has written.
func written(call *Call) (name string, from, to int64, ok bool) {
	n, _, _ := strings.Cut(call.Result, " ")
	count, err := strconv.ParseInt(n, 10, 64)
	if err != nil || count <= 0 {
		return "", 0, 0, false
	}
	switch call.Name {
	case "write":
		name, to = field(fileName, call.Args), count
	case "pwrite64":
		name = field(fileName, call.Args)
		from, err = strconv.ParseInt(field(writeOffset, call.Args), 10, 64)
		to = from + count
	case "copy_file_range": // where is not always told: anywhere
		name, to = field(copyTarget, call.Args), 1<<62
	}
	return name, from, to, name != "" && err == nil
}

// syncedBetween reports whether a file or directory was synced after one call had
// ended and before another began.
func syncedBetween(calls []*Call, name string, after, before *Call) bool {
	for _, call := range calls {
		if (call.Name == "fsync" || call.Name == "fdatasync") && call.OK() && field(fileName, call.Args) == name &&
			call.Began > after.Ended && call.Ended < before.Began {
			return true
		}
	}
	return false
}

// checkNames: the last change of each of the upload's names is there, is the
// wanted one, and has been synced.
func checkNames(calls []*Call, answer *Call, id string, present bool) error {
	for _, base := range []string{id, id + ".info"} {
		var last *Call
		var name string
		var exists bool
		for _, call := range calls {
			if changed, made := renamed(call); path.Base(changed) == base && call.Ended < answer.Began {
				last, name, exists = call, changed, made
			}
		}
		if last == nil || exists != present {
			return fmt.Errorf("the name %s is not as it should be", base)
		}
		if !syncedBetween(calls, path.Dir(name), last, answer) {
			return fmt.Errorf("the name %s is not synced (line %d)", base, last.Ended+1)
		}
	}
	return nil
}

// renamed returns the name that a call has made or removed.
func renamed(call *Call) (name string, made bool) {
	if !call.OK() {
		return "", false
	}
	switch call.Name {
	case "openat":
		if strings.Contains(call.Args, "O_CREAT") {
			return field(fileResult, call.Result), true
		}
	case "renameat", "renameat2", "linkat":
		if m := linkNames.FindStringSubmatch(call.Args); m != nil {
			return path.Join(m[3], m[4]), true
		}
	case "unlinkat":
		if m := entryName.FindStringSubmatch(call.Args); m != nil {
			return path.Join(m[1], m[2]), false
		}
	}
	return "", false
}

// checkRecord: what was written under the record's temporary name was synced
// before it got its own.
func checkRecord(calls []*Call, answer *Call, id string) error {
	for _, naming := range calls {
		m := linkNames.FindStringSubmatch(naming.Args)
		if m == nil || path.Base(m[4]) != id+".info" || naming.Began > answer.Began {
			continue
		}
		temp := path.Join(m[1], m[2])
		for _, call := range calls {
			if name, _, _, ok := written(call); ok && name == temp && !syncedBetween(calls, temp, call, naming) {
				return fmt.Errorf("the record is named before it is synced (line %d)", call.Ended+1)
			}
		}
	}
	return nil
}
