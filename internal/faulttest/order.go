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

// CheckOrder checks in a trace that data is on the disk before it is acknowledged
// (durability level ack):
//
//   - before an answer with an offset, every byte below it was written and then synced;
//   - before a 201, the record was written and synced, and the directory was synced with
//     the names of the record and the data;
//   - before the 204 of a DELETE, the directory was synced without these names.
//
// It returns the number of answers of these three kinds.
func CheckOrder(calls []*Call) (answers int, err error) {
	requests := make(map[string][2]string) // method and id of the last request, by connection
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

// field returns the first group of pattern in text, "" if it does not match.
func field(pattern *regexp.Regexp, text string) string {
	if m := pattern.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

// checkAnswer checks one answer and returns how many of the three kinds it is.
func checkAnswer(calls []*Call, answer *Call, method, id string) (kinds int, err error) {
	status := field(statusLine, answer.Args)
	if location := field(locationName, answer.Args); location != "" {
		id = location
	}
	if offset, e := strconv.ParseInt(field(offsetField, answer.Args), 10, 64); e == nil {
		kinds++
		err = checkData(calls, answer, id, offset)
	}
	switch {
	case method == "POST" && status == "201":
		kinds++
		err = errors.Join(err, checkNames(calls, answer, id, true), checkRecord(calls, answer, id))
	case method == "DELETE" && status == "204":
		kinds++
		err = errors.Join(err, checkNames(calls, answer, id, false))
	}
	return kinds, err
}

// checkData checks that all bytes below offset were written and synced before answer.
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
	case "copy_file_range": // the trace does not always have the offset: any
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

// checkNames checks that the files of the upload were created (present) or removed before
// answer, and that the directory was synced after that.
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
			return fmt.Errorf("the name %s was not created or removed as it should be", base)
		}
		if !syncedBetween(calls, path.Dir(name), last, answer) {
			return fmt.Errorf("the name %s is not synced (line %d)", base, last.Ended+1)
		}
	}
	return nil
}

// renamed returns the name that a call has created or removed.
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

// checkRecord checks that the record was synced under its temporary name before it was
// renamed.
func checkRecord(calls []*Call, answer *Call, id string) error {
	for _, naming := range calls {
		m := linkNames.FindStringSubmatch(naming.Args)
		if m == nil || path.Base(m[4]) != id+".info" || naming.Began > answer.Began {
			continue
		}
		temp := path.Join(m[1], m[2])
		for _, call := range calls {
			if name, _, _, ok := written(call); ok && name == temp && !syncedBetween(calls, temp, call, naming) {
				return fmt.Errorf("the record is renamed before it is synced (line %d)", call.Ended+1)
			}
		}
	}
	return nil
}
