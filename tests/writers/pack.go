// SPDX-License-Identifier: Apache-2.0

// tests/writers/pack.go - packs the paths listed on stdin with Go's archive/tar, as image builders
// do: pack FORMAT > x.tar, FORMAT one of ustar, pax, gnu, default. A second name of a file becomes a
// hard link to the first.
package main

import (
	"archive/tar"
	"bufio"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	formats := map[string]tar.Format{"ustar": tar.FormatUSTAR, "pax": tar.FormatPAX,
		"gnu": tar.FormatGNU, "default": tar.FormatUnknown}
	format, known := formats[os.Args[1]]
	if !known {
		panic("unknown format")
	}
	out := tar.NewWriter(os.Stdout)
	first := map[uint64]string{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		path := lines.Text()
		info, err := os.Lstat(path)
		check(err)
		link := ""
		if info.Mode()&os.ModeSymlink != 0 {
			link, err = os.Readlink(path)
			check(err)
		}
		header, err := tar.FileInfoHeader(info, link)
		check(err)
		header.Format = format
		header.Name = path
		if info.IsDir() && !strings.HasSuffix(path, "/") {
			header.Name += "/"
		}
		stat := info.Sys().(*syscall.Stat_t)
		// Builders leave these out, or no two runs would agree.
		header.AccessTime, header.ChangeTime = time.Time{}, time.Time{}
		earlier, again := first[stat.Ino]
		if stat.Nlink > 1 && !info.IsDir() {
			if again {
				header.Typeflag, header.Linkname, header.Size = tar.TypeLink, earlier, 0
			} else {
				first[stat.Ino] = path
			}
		}
		check(out.WriteHeader(header))
		if header.Typeflag == tar.TypeReg {
			file, err := os.Open(path)
			check(err)
			_, err = io.Copy(out, file)
			check(err)
			check(file.Close())
		}
	}
	check(lines.Err())
	check(out.Close())
}
