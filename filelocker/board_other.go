//go:build !linux

package filelocker

import "os"

func openBoard(root *os.Root) (board, error) { return openFileBoard(root) }
