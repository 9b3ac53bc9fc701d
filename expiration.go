package tusd

import (
	"context"
	"time"
)

// Expiration of incomplete uploads (tus 1.0, Expiration; IETF draft, max-age). An expired
// upload stays in the store until it is swept, and is answered ErrUploadExpired.

// expiresAt returns when the upload expires; the zero time: it does not. An upload that is
// full is going to be complete. A final that is not built fails by itself.
func (e *engine) expiresAt(info *FileInfo) time.Time {
	switch {
	case info.isFull(), info.isComplete(), info.State == StateFailed, info.State == StateFinishing, info.IsFinal:
		return time.Time{}
	case !info.Expires.IsZero():
		return info.Expires
	case e.config.ExpireAfter == 0 || info.Changed.IsZero():
		return time.Time{}
	}
	return info.Changed.Add(e.config.ExpireAfter)
}

// ExpiresAt returns when the upload with this record expires; the zero time: it does not.
func (h *Handler) ExpiresAt(info FileInfo) time.Time { return h.engine.expiresAt(&info) }

func (e *engine) isExpired(info *FileInfo) bool {
	at := e.expiresAt(info)
	return !at.IsZero() && !e.now().Before(at)
}

// renewExpiration lets the time of expiration count from now, if the request has stored
// nothing that does so. The client has shown that it continues.
func (e *engine) renewExpiration(u *lockedUpload, stored int64) error {
	if e.config.ExpireAfter == 0 || !u.info.Expires.IsZero() {
		return nil
	}
	if stored == 0 && !e.expiresAt(&u.info).IsZero() {
		if err := u.update(u.ctx, func(*FileInfo) error { return nil }); err != nil {
			return err
		}
	}
	return u.readChanged(u.lease.Context())
}

// readChanged updates the time of the last change.
func (u *lockedUpload) readChanged(ctx context.Context) error {
	info, err := u.upload.GetInfo(ctx)
	if err == nil {
		u.info.Changed = info.Changed
	}
	return err
}

// maxAge returns how many seconds are left until the upload expires. ok is false if it
// does not expire.
func (e *engine) maxAge(info *FileInfo) (seconds int64, ok bool) {
	at := e.expiresAt(info)
	if at.IsZero() {
		return 0, false
	}
	return max(0, int64(at.Sub(e.now())/time.Second)), true
}
