// SPDX-License-Identifier: Apache-2.0
// read.go - lists an archive as Go's archive/tar reads it: one JSON object an entry.
package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log"
	"os"
)

func main() {
	file, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	out := json.NewEncoder(os.Stdout)
	for reader := tar.NewReader(file); ; {
		header, err := reader.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			log.Fatal(err)
		}
		digest := ""
		if header.Typeflag == tar.TypeReg {
			hash := sha256.New()
			if _, err := io.Copy(hash, reader); err != nil {
				log.Fatal(err)
			}
			digest = hex.EncodeToString(hash.Sum(nil))
		}
		if err := out.Encode(map[string]string{"name": header.Name, "link": header.Linkname,
			"type": string(header.Typeflag), "sha256": digest}); err != nil {
			log.Fatal(err)
		}
	}
}
