package cli

import (
	"context"
	"errors"
	"flag"

	"github.com/tus/tusd"
)

const rmIntro = `It removes uploads, complete or not, with everything that belongs to them. A
request that is sending to one is interrupted. The server may be running: the locks
of a directory, or of a lock service, keep the two apart.
`

// onlyProcessVar adds -only-process.
func onlyProcessVar(cfg *config, f *flag.FlagSet) {
	f.BoolVar(&cfg.onlyProcess, "only-process", false, "promise that no other process uses the store now. Without\na lock that servers share, as with -locker memory on a\nbucket, the command is refused otherwise")
}

func rmCommand() storeCommand {
	return storeCommand{name: "rm", summary: "remove uploads", usage: " ID|URL...", intro: rmIntro, least: 1, most: -1, declare: onlyProcessVar, run: runRm}
}

func runRm(ctx context.Context, a *storeAccess) error {
	ids, err := a.ids()
	if err != nil {
		return err
	}
	if err := a.openForChanges(); err != nil {
		return err
	}
	failed := false
	for _, id := range ids {
		err := a.handler.Terminate(ctx, id)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, tusd.ErrPartialInUse):
			err = errors.New("a final upload that is not built yet needs this partial upload")
		}
		if err != nil {
			failed = true
			a.complain(id, err)
			continue
		}
		a.printf("removed %s\n", printable(id))
		a.out.Flush()
	}
	if failed {
		return errReported
	}
	return nil
}
