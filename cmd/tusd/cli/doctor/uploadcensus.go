package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/cmd/tusd/cli/access"
)

// The limits of the census.
const (
	maxCensusFiles = 2000
	maxCensusTime  = 5 * time.Second
)

// uploadCensus counts the uploads in a directory.
type uploadCensus struct {
	files     int
	records   int
	older     int // written by tusd v2 or before
	lockFiles int // of locks

	unreadable string // the first record that cannot be read; "": none
	unwritable string // the same for data that cannot be written to
	unusable   error  // the same for directories
	whole      bool   // the whole directory was visited
}

// readRecords counts existing uploads, and checks whether this user may change
// them.
func (i *inspection) readRecords() error {
	found := uploadCensus{whole: true}
	err := found.count(i.Path, time.Now().Add(maxCensusTime))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return i.missing("existing uploads", fmt.Errorf("%w%s", err, access.Advice(err, i.Path)))
	}
	if found.unreadable != "" {
		i.report.Missing("existing uploads", found.unreadable+" cannot be read: have all of the directory belong to "+access.Me().String())
	}
	if found.unwritable != "" {
		i.report.Warn("existing uploads", found.unwritable+" cannot be written to: if it is not complete it cannot be resumed. Have all of the directory belong to "+access.Me().String())
	}
	if err := found.unusable; err != nil {
		i.report.Warn("existing uploads", fmt.Sprintf("%v: no upload can be made or removed there%s", err, access.Advice(err, i.Path)))
	}
	if found.records > 0 {
		i.report.OK("existing uploads", found.String())
	}
	if found.older > 0 {
		i.report.OK("uploads of tusd v2", "they can be continued here. Stop tusd v2 first; docs/migrating.md says what tusd v2 can continue if you go back")
	}
	if found.lockFiles > 0 {
		i.report.Warn("locks", fmt.Sprintf("%d files end with .lock. If tusd v2 runs, stop it first. If not, it was killed here: they have no effect", found.lockFiles))
	}
	return nil
}

func (c *uploadCensus) String() string {
	from := ""
	if !c.whole {
		from = " among the first that were looked at"
	}
	return fmt.Sprintf("%d records%s, %d of them of tusd v2 or before", c.records, from, c.older)
}

var errCensusLimit = errors.New("the limit of the census is reached")

// count visits a directory and those below it, until a limit is reached.
func (c *uploadCensus) count(root string, until time.Time) error {
	err := c.countIn(root, until)
	if errors.Is(err, errCensusLimit) {
		return nil
	}
	return err
}

// dirPage is how many entries of a directory are read at a time; it may have
// millions.
const dirPage = 256

func (c *uploadCensus) countIn(dir string, until time.Time) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(dirPage)
		for _, entry := range entries {
			if err := c.visit(filepath.Join(dir, entry.Name()), entry, until); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *uploadCensus) visit(path string, entry fs.DirEntry, until time.Time) error {
	switch {
	case strings.HasPrefix(entry.Name(), ".tusd"):
	case c.files >= maxCensusFiles || time.Now().After(until):
		c.whole = false
		return errCensusLimit
	case entry.Type().IsRegular():
		c.see(path)
	case entry.IsDir():
		if err := access.CanUse(path); c.unusable == nil && !errors.Is(err, fs.ErrNotExist) {
			c.unusable = err
		}
		if err := c.countIn(path, until); !errors.Is(err, fs.ErrNotExist) { // it may have been removed meanwhile
			return err
		}
	}
	return nil
}

func (c *uploadCensus) see(path string) {
	c.files++
	switch filepath.Ext(path) {
	case ".info":
		c.records++
		c.read(path)
	case ".lock":
		c.lockFiles++
	default:
		if c.unwritable == "" && !writable(path) {
			c.unwritable = path
		}
	}
}

// read checks whether a record was written by tusd v2 or before: ours have a
// version.
func (c *uploadCensus) read(path string) {
	content, err := os.ReadFile(path)
	if err != nil && c.unreadable == "" && !errors.Is(err, fs.ErrNotExist) {
		c.unreadable = path
	}
	var record tusd.FileInfo
	if err == nil && json.Unmarshal(content, &record) == nil && record.ID != "" && record.Version == 0 {
		c.older++
	}
}

func writable(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) // removed meanwhile
	}
	return f.Close() == nil
}
