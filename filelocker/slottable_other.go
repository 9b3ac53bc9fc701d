//go:build !linux

package filelocker

import "os"

func openSlots(root *os.Root) (slotTable, error) { return openSlotFiles(root) }
