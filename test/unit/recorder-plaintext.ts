/** All that the recorder's files say to who has the body key: what is on disk, whatever the index says. */
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { parsePackEntry } from '../../daemon/recorder/bodies/pack-entry.ts'
import { SealedReader } from '../../daemon/recorder/sealed/sealed-reader.ts'

/** Everything in packs and journal segments under any name, contents inflated, salts and keys as they are. */
export function plaintext(stateDir: string, bodyKey: Buffer): Buffer {
  const found: Buffer[] = []
  const files = readdirSync(stateDir, { recursive: true, withFileTypes: true })
  for (const file of files.filter((each) => each.isFile())) {
    const [, number, suffix] = /^(\d{10})\.(seg|pack)/.exec(file.name) ?? []
    if (number === undefined) continue
    const purpose = suffix === 'seg' ? 'journal' : 'pack'
    const reader = new SealedReader(path.join(file.parentPath, file.name), bodyKey, purpose, Number(number))
    for (const each of reader.scan()) {
      if (!('plain' in each)) continue
      found.push(each.plain)
      if (purpose === 'pack') found.push(...contents(each.plain))
    }
    reader.close()
  }
  return Buffer.concat(found)
}

function contents(plain: Buffer): Buffer[] {
  const entry = parsePackEntry(plain)
  if (entry.kind === 'chunk') return [entry.bytes]
  return entry.kind === 'manifest' ? [entry.manifest.content] : []
}
