// SPDX-License-Identifier: Apache-2.0
// tests/writers/pack.mjs - packs the paths listed on stdin with node-tar:
//   node pack.mjs PATH-OF-NODE-TAR > x.tar
import { readFileSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'

const tar = createRequire(import.meta.url)(process.argv[2])
const paths = readFileSync(0, 'utf8').split('\n').filter(Boolean)
// Depth first by itself: only what is asked for.
const options = { sync: true, noDirRecurse: true, preservePaths: false }
writeSync(1, new Uint8Array(tar.create(options, paths).read()))
