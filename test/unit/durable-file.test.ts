import { spawnSync } from 'node:child_process'
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { AppendFile } from '../../daemon/base/durable/append-file.ts'
import { type FileSystem, realFileSystem } from '../../daemon/base/durable/file-system.ts'
import {
  makeDirectory,
  moveFile,
  overwriteFile,
  removeDirectory,
  removeFile,
  shredFile,
  syncDirectory,
  syncFile,
  writeFileAtomic,
} from '../../daemon/base/durable/files.ts'
import { lockExclusive } from '../../daemon/base/durable/lock.ts'
import { scratch } from './scratch.ts'

/** The real file system, with a list of its calls, each of which `before` may make fail. */
function watched(before: (call: string, count: number) => void = () => {}): {
  fs: FileSystem
  calls: string[]
} {
  const calls: string[] = []
  const note = (call: string): void => {
    calls.push(call)
    before(call, calls.length)
  }
  const fs: FileSystem = {
    async open(path, flags, mode) {
      note('open')
      const file = await realFileSystem.open(path, flags, mode)
      return {
        fd: file.fd,
        // At most three bytes a call, as a signal or a nearly full disk makes it.
        async writev(buffers, position) {
          note('writev')
          return file.writev([buffers[0]!.subarray(0, 3)], position)
        },
        async sync() {
          note(statSync(path).isDirectory() ? 'sync-directory' : 'sync')
          await file.sync()
        },
        async datasync() {
          note('datasync')
          await file.datasync()
        },
        async truncate(length) {
          note('truncate')
          await file.truncate(length)
        },
        stat: () => file.stat(),
        close: () => file.close(),
      }
    },
    async rename(from, to) {
      note('rename')
      await realFileSystem.rename(from, to)
    },
    async unlink(path) {
      note('unlink')
      await realFileSystem.unlink(path)
    },
    async rmdir(path) {
      note('rmdir')
      await realFileSystem.rmdir(path)
    },
    readdir: realFileSystem.readdir,
    async mkdir(path, mode) {
      note('mkdir')
      return realFileSystem.mkdir(path, mode)
    },
    lock: realFileSystem.lock,
  }
  return { fs, calls }
}

t.test('writes a file: bytes synced before it gets its name, the name after', async (t) => {
  const dir = scratch()
  const { fs, calls } = watched()
  await writeFileAtomic(join(dir, 'a'), Buffer.from('12345'), { fs, mode: 0o640 })
  t.same(calls, ['open', 'writev', 'writev', 'sync', 'rename', 'open', 'sync-directory'])
  t.equal(readFileSync(join(dir, 'a'), 'utf8'), '12345')
  t.equal(statSync(join(dir, 'a')).mode & 0o777, 0o640)
  const quick = watched()
  await writeFileAtomic(join(dir, 'a'), Buffer.from('1'), { fs: quick.fs, durable: false })
  t.same(quick.calls, ['open', 'writev', 'rename'])
})

t.test(
  'whichever call fails, the file has its old content or the new, and no other file stays',
  async (t) => {
    const { calls } = await (async () => {
      const run = watched()
      await writeFileAtomic(join(scratch(), 'a'), Buffer.from('newer'), { fs: run.fs })
      return run
    })()
    for (const [i, call] of calls.entries()) {
      const dir = scratch()
      writeFileSync(join(dir, 'a'), 'old')
      const { fs } = watched((_, count) => {
        if (count === i + 1) throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
      })
      const written = writeFileAtomic(join(dir, 'a'), Buffer.from('newer'), { fs })
      await t.rejects(written, { name: 'DurableError', code: 'NO_SPACE', remedy: /space/ }, `${call} ${i}`)
      t.match(readFileSync(join(dir, 'a'), 'utf8'), /^(old|newer)$/)
      t.same(readdirSync(dir), ['a'])
    }
  },
)

t.test('says what to do about a directory that is not ours or not there', async (t) => {
  const dir = scratch()
  await t.rejects(writeFileAtomic(join(dir, 'x', 'a'), Buffer.of(1)), { code: 'IO', message: /ENOENT/ })
  const { fs } = watched(() => {
    throw Object.assign(new Error('no'), { code: 'EROFS' })
  })
  await t.rejects(writeFileAtomic(join(dir, 'a'), Buffer.of(1), { fs }), {
    code: 'DENIED',
    remedy: /read-only/,
  })
  await t.rejects(syncFile(join(dir, 'x')), { code: 'IO' })
  await t.rejects(syncDirectory(join(dir, 'x')), { code: 'IO' })
})

t.test('makes directories and syncs each parent that changed', async (t) => {
  const dir = scratch()
  const { fs, calls } = watched()
  await makeDirectory(join(dir, 'a', 'b', 'c'), { mode: 0o750, fs })
  t.equal(calls.filter((call) => call === 'sync-directory').length, 3, 'those that hold a, b and c')
  t.equal(statSync(join(dir, 'a', 'b', 'c')).mode & 0o777, 0o750)
  await makeDirectory(join(dir, 'a', 'b', 'c'), { fs })
  t.equal(calls.filter((call) => call === 'sync-directory').length, 3, 'again: nothing to do')
  writeFileSync(join(dir, 'file'), '')
  await t.rejects(makeDirectory(join(dir, 'file', 'x')), { code: 'IO' })
})

t.test('removes files and directories, and again without complaint', async (t) => {
  const dir = scratch()
  mkdirSync(join(dir, 'd'))
  for (const name of ['d/1', 'd/2', 'f']) writeFileSync(join(dir, name), name)
  const { fs, calls } = watched()
  await removeFile(join(dir, 'f'), fs)
  t.same(calls, ['unlink', 'open', 'sync-directory'])
  await removeDirectory(join(dir, 'd'), fs)
  t.same(readdirSync(dir), [])
  await removeFile(join(dir, 'f'))
  await removeDirectory(join(dir, 'd'))
  mkdirSync(join(dir, 'e', 'f'), { recursive: true })
  await t.rejects(removeDirectory(join(dir, 'e')), { name: 'DurableError' })
})

t.test('appends everything although writes are short, and goes on where it ended', async (t) => {
  const path = join(scratch(), 'log')
  const { fs, calls } = watched()
  const file = await AppendFile.open(path, { fs, mode: 0o640 })
  t.ok(calls.includes('sync-directory'), 'a new name is durable')
  await file.append([Buffer.from('0123456'), Buffer.alloc(0), Buffer.from('789')])
  await file.sync()
  t.equal(file.size, 10)
  await file.close()
  const again = await AppendFile.open(path)
  t.equal(again.size, 10)
  await again.append([Buffer.from('ab')])
  await again.truncate(11)
  t.equal(again.size, 11)
  await again.close()
  t.equal(readFileSync(path, 'utf8'), '0123456789a')
})

t.test('what a failed append left behind does not stay before the next', async (t) => {
  const path = join(scratch(), 'log')
  let writes = 0
  const { fs } = watched((call) => {
    if (call === 'writev' && ++writes === 3) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
  })
  const file = await AppendFile.open(path, { fs })
  await file.append([Buffer.from('abc')])
  await t.rejects(file.append([Buffer.from('lost!')]), { code: 'NO_SPACE' })
  t.equal(file.size, 3)
  await file.truncate(file.size)
  await file.append([Buffer.from('d')])
  await file.close()
  t.equal(readFileSync(path, 'utf8'), 'abcd')
})

t.test('a file is shredded: its head overwritten and synced before its name goes', async (t) => {
  const dir = scratch()
  const path = join(dir, 'a')
  writeFileSync(path, 'salt and the rest')
  linkSync(path, join(dir, 'b'))
  const { fs, calls } = watched()
  await shredFile(path, 4, fs)
  t.same(calls, ['open', 'writev', 'writev', 'datasync', 'unlink', 'open', 'sync-directory'])
  t.equal(
    readFileSync(join(dir, 'b'), 'latin1'),
    '\0\0\0\0 and the rest',
    'where the blocks are kept they say nothing',
  )
  t.notOk(existsSync(path))
  await shredFile(path, 4, fs)
})

t.test('bytes are overwritten where they stand, and a file moves with both directories synced', async (t) => {
  const dir = scratch()
  mkdirSync(join(dir, 'sub'))
  writeFileSync(join(dir, 'a'), 'abcdef')
  const { fs, calls } = watched()
  t.equal(await overwriteFile(join(dir, 'a'), Buffer.from('XY'), 2, fs), true)
  t.equal(await overwriteFile(join(dir, 'absent'), Buffer.from('XY'), 2, fs), false)
  calls.length = 0
  await moveFile(join(dir, 'a'), join(dir, 'sub', 'b'), fs)
  t.same(calls, ['rename', 'open', 'sync-directory', 'open', 'sync-directory'])
  t.equal(readFileSync(join(dir, 'sub', 'b'), 'utf8'), 'abXYef')
})

t.test('one holder has a lock: in this process, in another, and until it ends', async (t) => {
  const path = join(scratch(), 'lock')
  const release = await lockExclusive(path)
  await t.rejects(lockExclusive(path), { name: 'DurableError', code: 'LOCKED', remedy: /Stop/ })
  const lock = new URL('../../daemon/base/durable/lock.ts', import.meta.url).href
  const script = `
    import { lockExclusive } from ${JSON.stringify(lock)}
    await lockExclusive(${JSON.stringify(path)}).then(() => console.log('taken'), (error) => console.log(error.code))
    process.kill(process.pid, 'SIGKILL')`
  const other = (): string =>
    spawnSync(process.execPath, ['--input-type=module-typescript', '-e', script], {
      env: {},
      encoding: 'utf8',
    }).stdout.trim()
  t.equal(other(), 'LOCKED')
  await release()
  await release()
  t.equal(other(), 'taken')
  await (await lockExclusive(path))()
  t.ok(existsSync(path), 'the file stays; the lock went with the killed process')
})
