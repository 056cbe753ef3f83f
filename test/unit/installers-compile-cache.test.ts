import { mkdirSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { shareCompileCache } from '../../installers/compile-cache.ts'
import { scratch } from './scratch.ts'

const users = [{ uid: 995 }, { uid: 10 }]

t.test('each account has a link to what root compiled; a second time none is made', async (t) => {
  const directory = scratch()
  mkdirSync(join(directory, 'v24-x64-abc-0'))
  writeFileSync(join(directory, 'v24-x64-abc-0', 'file'), 'code')
  const made = await shareCompileCache(users, directory)
  t.same(made, [`${directory}/v24-x64-abc-995`, `${directory}/v24-x64-abc-10`])
  for (const link of made) {
    t.equal(readlinkSync(link), 'v24-x64-abc-0')
    t.same(readdirSync(link), ['file'])
  }
  t.same(await shareCompileCache(users, directory), [], 'they are there')
})

t.test('where nothing was compiled there is nothing to share', async (t) => {
  t.same(await shareCompileCache(users, join(tmpdir(), 'aa-compiled-nowhere')), [])
})
