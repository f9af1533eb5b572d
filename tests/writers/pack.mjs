// SPDX-License-Identifier: Apache-2.0
// tests/writers/pack.mjs - packs the paths listed on stdin with node-tar:
//   node pack.mjs PATH-OF-NODE-TAR > x.tar
import { readFileSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'

const tar = createRequire(import.meta.url)(process.argv[2])
const paths = readFileSync(0, 'utf8').split('\n').filter(Boolean)
// Depth first by itself: only what is asked for.
const options = { sync: true, noDirRecurse: true, preservePaths: false }
const archive = new Uint8Array(tar.create(options, paths).read())
// A pipe takes what it has room for, and may say that it has none.
for (let at = 0; at < archive.length;) {
    try {
        at += writeSync(1, archive, at)
    } catch (error) {
        if (error.code !== 'EAGAIN') throw error
    }
}
