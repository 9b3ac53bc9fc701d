package tusd

import (
	"context"
	"testing"
)

// A subscriber may change its event: each subscription gets a copy.
func TestEventsAreCopies(t *testing.T) {
	var b publisher
	first, second := b.subscribe(1), b.subscribe(1)
	b.publish(t.Context(), Event{Upload: FileInfo{MetaData: MetaData{"name": "a"}}})
	clear((<-first.C).Upload.MetaData)
	if got := (<-second.C).Upload.MetaData["name"]; got != "a" {
		t.Errorf("the second subscription got the name %q", got)
	}
}

// sharedRecord is an upload that has only a record and returns it without a copy.
type sharedRecord struct {
	Upload
	info FileInfo
}

func (u *sharedRecord) GetInfo(context.Context) (FileInfo, error) { return u.info, nil }

func (u *sharedRecord) MakeDurable(context.Context) error { return nil }

func (u *sharedRecord) UpdateInfo(_ context.Context, change func(*FileInfo) error) error {
	next := u.info.Clone()
	err := change(&next)
	u.info = next
	return err
}

// A callback may change its answer after it has returned: the record has a copy.
func TestRefusalsAreCopies(t *testing.T) {
	header := map[string]string{"X-Why": "scan"}
	upload := new(sharedRecord)
	u := &lockedUpload{upload: upload, times: &newMetrics().store}
	new(engine).recordRefusal(t.Context(), u, ErrUploadRejected.Refuse(HTTPResponse{Header: header}))
	clear(header)
	if got := upload.info.Failure.Header["X-Why"]; got != "scan" {
		t.Errorf("the record has the header %q", got)
	}
}
