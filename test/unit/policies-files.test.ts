import { spawnSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { PolicyError } from '../../policies/policy-error.ts'
import { readText } from '../../policies/read-text.ts'

const directory = t.testdir()
const file = (name: string) => join(directory, name)

function codeOf(path: string): string | undefined {
  try {
    readText(path)
  } catch (error) {
    if (error instanceof PolicyError && error.remedy !== '') return error.code
    throw error
  }
  return undefined
}

t.test('text comes back as written, a byte order mark aside', async (t) => {
  writeFileSync(file('a'), '\ufeffname: é\n')
  t.equal(readText(file('a')), 'name: é\n')
})

t.test('a missing file is undefined', async (t) => {
  t.equal(readText(file('missing')), undefined)
})

t.test('bytes that are no UTF-8 are refused', async (t) => {
  writeFileSync(file('latin1'), Buffer.from('name: \xe9\n', 'latin1'))
  t.equal(codeOf(file('latin1')), 'NOT_UTF8')
  writeFileSync(file('utf16'), Buffer.from('\ufeffname: a\n', 'utf16le'))
  t.equal(codeOf(file('utf16')), 'NOT_UTF8')
})

t.test('a huge file is refused, one at the bound is read', async (t) => {
  writeFileSync(file('full'), 'x'.repeat(256 * 1024))
  t.equal(readText(file('full'))?.length, 256 * 1024)
  writeFileSync(file('huge'), 'x'.repeat(256 * 1024 + 1))
  t.equal(codeOf(file('huge')), 'FILE_TOO_LARGE')
})

t.test('what is no regular file is refused without waiting', { timeout: 5000 }, async (t) => {
  mkdirSync(file('dir'))
  t.equal(codeOf(file('dir')), 'FILE_UNREADABLE')
  t.equal(codeOf('/dev/zero'), 'FILE_UNREADABLE')
  const made = spawnSync('/usr/bin/mkfifo', [file('fifo')], { env: {} })
  t.equal(made.status, 0)
  t.equal(codeOf(file('fifo')), 'FILE_UNREADABLE')
})

t.test('a path through a file and a loop of links are errors, not absent files', async (t) => {
  t.equal(codeOf(file('a/b')), 'FILE_UNREADABLE')
  symlinkSync('loop', file('loop'))
  t.equal(codeOf(file('loop')), 'FILE_UNREADABLE')
})
