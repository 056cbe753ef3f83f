/** /etc/hosts (hosts(5)), read again when it changes: what an agent's own look-up would see first. */
import { readFileSync, statSync } from 'node:fs'
import { canonicalAddress } from './addresses.ts'

/** How often the file is looked at, at most. */
const CHECK_MS = 1000
const MAX_BYTES = 4 << 20

/** Pure: name in lower case to its addresses in the file's order. */
export function parseHosts(text: string): Map<string, string[]> {
  const names = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const [first, ...rest] = line.replace(/#.*/, '').trim().split(/\s+/)
    const address = canonicalAddress(first ?? '')
    if (address === undefined) continue
    for (const name of rest) {
      const key = name.toLowerCase().replace(/\.$/, '')
      const known = names.get(key)
      if (!known) names.set(key, [address])
      else if (!known.includes(address)) known.push(address)
    }
  }
  return names
}

export class HostsFile {
  readonly #path: string
  #names = new Map<string, string[]>()
  #checked = Number.NEGATIVE_INFINITY
  #version = ''

  constructor(path = '/etc/hosts') {
    this.#path = path
  }

  /** Addresses of a name in lower case; empty where the file has none or can't be read. */
  addresses(name: string): readonly string[] {
    const time = performance.now()
    if (time - this.#checked > CHECK_MS) {
      this.#checked = time
      this.#reload()
    }
    return this.#names.get(name) ?? []
  }

  #reload(): void {
    try {
      const { mtimeMs, size, ino } = statSync(this.#path)
      const version = `${mtimeMs} ${size} ${ino}`
      if (version === this.#version) return
      this.#names = size > MAX_BYTES ? new Map() : parseHosts(readFileSync(this.#path, 'utf8'))
      this.#version = version
    } catch {
      this.#names = new Map()
      this.#version = ''
    }
  }
}
