/**
 * Paths of cgroups by their ids, of the version 2 hierarchy: an id is the inode number of the cgroup's directory
 * (kernfs, 64 bit). Where that isn't mounted nothing is found, and /proc/PID/cgroup must do.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'

/** Directories looked at in one search; a user may make many below a service of their own. */
const MAX_DIRECTORIES = 20_000
const MAX_KNOWN = 4096
/** A search costs some 10 µs a directory: not for every id that is unknown. */
const SEARCH_EVERY_MS = 5000
const MOUNT = /^\d+ \d+ \S+ (\S+) (\S+) .* - cgroup2 /

/** Where the version 2 hierarchy was mounted, whole, the newest first. @param text of /proc/self/mountinfo */
export function cgroupMounts(text: string): string[] {
  return text
    .split('\n')
    .flatMap((line) => {
      const [, root, place] = MOUNT.exec(line) ?? []
      return root === '/' && place !== undefined ? [unescapeOctal(place)] : []
    })
    .reverse()
}

export class CgroupTree {
  readonly #known = new Map<bigint, string>()
  #searched = Number.NEGATIVE_INFINITY

  /** A path that a process was just seen in: remembered by its id. */
  learn(path: string): void {
    const mount = mountPoint()
    if (mount === undefined) return
    const id = inode(`${mount}${path}`)
    if (id !== undefined) this.#remember(id, path)
  }

  /** Path below the mount, `/` for its root; undefined where there is none of that id (any more). */
  pathOf(id: bigint): string | undefined {
    const mount = mountPoint()
    if (mount === undefined) return undefined
    const known = this.#known.get(id)
    if (known !== undefined && inode(`${mount}${known}`) === id) return known
    this.#known.delete(id)
    if (inode(mount) === id) return '/'
    const now = performance.now()
    if (now - this.#searched < SEARCH_EVERY_MS) return undefined
    this.#searched = now
    this.#search(mount)
    return this.#known.get(id)
  }

  #search(mount: string): void {
    const queue = ['']
    for (let looked = 0; queue.length > 0 && looked < MAX_DIRECTORIES; looked++) {
      const path = queue.shift() as string
      const id = inode(`${mount}${path}`)
      if (id !== undefined) this.#remember(id, path === '' ? '/' : path)
      for (const name of directories(`${mount}${path}`)) queue.push(`${path}/${name}`)
    }
  }

  #remember(id: bigint, path: string): void {
    this.#known.delete(id)
    this.#known.set(id, path)
    if (this.#known.size > MAX_KNOWN) this.#known.delete(this.#known.keys().next().value as bigint)
  }
}

let mounts = ''
let mount: string | undefined

/** Looked up again only where the mounts have changed. */
function mountPoint(): string | undefined {
  const text = readFileSync('/proc/self/mountinfo', 'utf8')
  if (text !== mounts) {
    mounts = text
    // One may lie hidden below what was mounted over it.
    mount = cgroupMounts(text).find((place) => inode(`${place}/cgroup.controllers`) !== undefined)
  }
  return mount
}

function inode(path: string): bigint | undefined {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino
  } catch {
    return undefined
  }
}

function directories(path: string): string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true })
    return entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : []))
  } catch {
    // Removed meanwhile.
    return []
  }
}

/** mountinfo writes blanks, tabs, line feeds and backslashes as octal (proc_pid_mountinfo(5)). */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}
