// SPDX-License-Identifier: Apache-2.0

// write packs a tree with Go's archive/tar: go run write.go OUT FORMAT TREE, where FORMAT is
// default, gnu, pax, or moby (file type bits in the mode, as its writers long kept them).
package main

import (
	"archive/tar"
	"io"
	"os"
	"path/filepath"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	out, err := os.Create(os.Args[1])
	check(err)
	w := tar.NewWriter(out)
	check(filepath.Walk(os.Args[3], func(path string, info os.FileInfo, err error) error {
		check(err)
		link := ""
		if info.Mode()&os.ModeSymlink != 0 {
			link, err = os.Readlink(path)
			check(err)
		}
		header, err := tar.FileInfoHeader(info, link)
		check(err)
		header.Name = path
		if info.IsDir() {
			header.Name += "/"
		}
		switch os.Args[2] {
		case "gnu":
			header.Format = tar.FormatGNU
		case "pax":
			header.Format = tar.FormatPAX
		case "moby":
			switch header.Typeflag {
			case tar.TypeDir:
				header.Mode |= 0040000
			case tar.TypeSymlink:
				header.Mode |= 0120000
			default:
				header.Mode |= 0100000
			}
		}
		check(w.WriteHeader(header))
		if info.Mode().IsRegular() {
			file, err := os.Open(path)
			check(err)
			_, err = io.Copy(w, file)
			check(err)
			check(file.Close())
		}
		return nil
	}))
	check(w.Close())
	check(out.Close())
}
