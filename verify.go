package tusd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// Verify compares the record of the upload id with what is stored, and returns what does
// not agree, a sentence each. It reads all bytes of a complete upload that has a digest. It
// takes no lock and changes nothing. ErrNotFound: there is no such upload. Safe for
// concurrent use.
func (h *Handler) Verify(ctx context.Context, id string) (faults []string, err error) {
	if err := ValidateID(id); err != nil {
		return nil, err
	}
	return h.engine.verify(withLoadedOnce(ctx), id)
}

func (e *engine) verify(ctx context.Context, id string) (faults []string, err error) {
	upload, info, err := e.peek(ctx, id)
	switch {
	case errors.Is(err, ErrBroken):
		return []string{fmt.Sprintf("the upload cannot be loaded: %v", err)}, nil
	case err != nil:
		return nil, err
	case e.store.Verifier != nil:
		if faults, err = e.store.Verifier.Verify(ctx, id); err != nil {
			return faults, err
		}
	case !info.SizeIsDeferred && info.Offset > info.Size, info.isComplete() && !info.isFull():
		faults = append(faults, fmt.Sprintf("%d bytes are stored, and the length is %d", info.Offset, info.Size))
	}
	if len(faults) > 0 || !info.isComplete() {
		return faults, nil
	}
	return verifyDigests(ctx, upload, &info)
}

// verifyDigests compares the digests in the record of a complete upload with its bytes.
func verifyDigests(ctx context.Context, upload Upload, info *FileInfo) (faults []string, err error) {
	for _, d := range info.Digests {
		if d.Sum == nil || !d.known() {
			continue
		}
		h := fieldAlgorithm(d.Algorithm).hash()
		if err := hashStored(ctx, h, upload, 0, info.Size); err != nil {
			return faults, err
		}
		if !bytes.Equal(h.Sum(nil), d.Sum) {
			faults = append(faults, fmt.Sprintf("the %s digest of the bytes is not the one in the record", d.Algorithm))
		}
	}
	return faults, nil
}
