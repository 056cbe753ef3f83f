/**
 * A disk that forgets. It does each call in a real directory, where whoever reads without it sees what a living system
 * shows, and keeps account of what an fsync made durable: so at any moment the directory can be had as a power loss
 * would leave it. Stricter than the file systems in use: without an fsync every write, truncation and name stays or goes
 * by itself, in any order; only a rename is one step. A failed fsync loses for ever what it should have written, though
 * it can still be read (fsync(2), and "Can Applications Recover from fsync Failures?", ATC 2020).
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  unlinkSync,
  writeFileSync,
  writeSync,
  writevSync,
} from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { type FileSystem, type OpenFile, realFileSystem } from '../../daemon/base/durable/file-system.ts'

/** A call that changes something, or makes a change durable. */
export interface Call {
  /** From 1, over all processes that used the disk. */
  readonly number: number
  readonly name: 'create' | 'writev' | 'sync' | 'truncate' | 'rename' | 'unlink' | 'rmdir' | 'mkdir'
  /** Relative to the disk's directory. */
  readonly path: string
}

/**
 * EIO and ENOSPC: nothing is done. `short`: half of the bytes are written, then ENOSPC. `late`: it is done, and an error
 * is reported all the same.
 */
export type Fault = 'EIO' | 'ENOSPC' | 'short' | 'late'

/** What survives of a change that no fsync made durable. */
export interface Survival {
  name(): boolean
  /** Of `length` bytes written, those from the first number up to the second. */
  bytes(length: number): readonly (readonly [from: number, to: number])[]
  truncation(): boolean
}

/** As after the death of the process alone. */
export const everything: Survival = {
  name: () => true,
  bytes: (length) => [[0, length]],
  truncation: () => true,
}
export const nothing: Survival = { name: () => false, bytes: () => [], truncation: () => false }
/** The classic: the file has its name, and is empty. */
export const namesOnly: Survival = { ...nothing, name: () => true }
export const contentOnly: Survival = { ...everything, name: () => false }

const SECTOR = 512

/** Anything: each change with one chance in two, a write sector by sector. @param random from 0 up to 1 */
export function anything(random: () => number): Survival {
  const coin = (): boolean => random() < 0.5
  return {
    name: coin,
    truncation: coin,
    bytes(length) {
      const sectors = Array.from({ length: Math.ceil(length / SECTOR) }, (_, i) => i * SECTOR)
      const cut = Math.floor(random() * (length + 1))
      // As a rule from the beginning on, but a disk writes in the order that it likes.
      if (coin()) return [[0, cut]]
      return sectors.filter(coin).map((at) => [at, Math.min(length, at + SECTOR)])
    },
  }
}

type Durability = 'pending' | 'durable' | 'lost'
interface Change {
  readonly offset: number
  /** Undefined: a truncation to `offset`. */
  readonly bytes: Buffer | undefined
  durability: Durability
}
interface Node {
  readonly changes: Change[]
  /** Of a directory, as the living system shows it. */
  readonly children: Map<string, Node> | undefined
}
interface NameChange {
  readonly removed?: { readonly from: Node; readonly name: string }
  readonly added?: { readonly to: Node; readonly name: string }
  readonly node: Node
  durable: boolean
}

const directoryNode = (): Node => ({ changes: [], children: new Map() })
const fileNode = (): Node => ({ changes: [], children: undefined })

/** Files by their path relative to the directory; directories as undefined, before what is in them. */
export type Image = ReadonlyMap<string, Buffer | undefined>

export class CrashDisk {
  readonly dir: string
  readonly #root = directoryNode()
  readonly #names: NameChange[] = []
  #calls = 0
  #plan: (call: Call) => Fault | undefined = () => undefined
  #after: (call: Call) => void = () => {}
  #end = (): void => {}

  /** @param dir an empty directory @param image what lies there durably */
  constructor(dir: string, image: Image = new Map()) {
    this.dir = dir
    materialise(image, dir)
    for (const [path, bytes] of image) {
      const node = bytes === undefined ? directoryNode() : fileNode()
      if (bytes !== undefined) node.changes.push({ offset: 0, bytes, durability: 'durable' })
      this.#add(join(dir, path), node)
    }
    for (const change of this.#names) change.durable = true
  }

  get calls(): number {
    return this.#calls
  }

  /** Asked before each call; it may fail. */
  plan(plan: (call: Call) => Fault | undefined): void {
    this.#plan = plan
  }

  /** Told after each call was done or has failed, before its caller hears of it. */
  after(after: (call: Call) => void): void {
    this.#after = after
  }

  /** The file system as a new process sees it. The one before ends as by SIGKILL: its calls never answer. */
  boot(): FileSystem {
    this.#end()
    let alive = true
    const open = new Set<number>()
    this.#end = () => {
      alive = false
      for (const fd of open) closeSync(fd)
    }
    /** Waits its turn as a call of the system does; none of a dead process comes. */
    const turn = async (): Promise<void> => {
      await setImmediate()
      if (!alive) await new Promise<never>(() => {})
    }
    const call = async <T>(
      name: Call['name'],
      path: string,
      act: (fault?: 'short') => T,
      lost = () => {},
    ) => {
      await turn()
      const told: Call = { number: ++this.#calls, name, path: relative(this.dir, path) }
      const fault = this.#plan(told)
      try {
        if (fault === undefined) return act()
        if (fault === 'short') act('short')
        if (fault === 'late' && name !== 'sync') act()
        lost()
        throw Object.assign(new Error(`${fault} injected into ${name} ${told.path}`), {
          code: fault === 'EIO' || fault === 'late' ? 'EIO' : 'ENOSPC',
        })
      } finally {
        this.#after(told)
      }
    }
    const close = (fd: number): void => {
      if (open.delete(fd)) closeSync(fd)
    }
    return {
      open: async (path, flags, mode) => {
        await turn()
        const known = this.#find(path)
        const changing = known === undefined || (flags & constants.O_TRUNC) !== 0
        const begin = (): number => {
          const fd = openSync(path, flags, mode)
          open.add(fd)
          if (known === undefined) this.#add(path, fileNode())
          else if (changing) known.changes.push({ offset: 0, bytes: undefined, durability: 'pending' })
          return fd
        }
        const fd = changing ? await call('create', path, (fault) => (fault ? 0 : begin())) : begin()
        return this.#opened(path, fd, { turn, call, close })
      },
      rename: (from, to) =>
        call('rename', from, (fault) => {
          if (fault) return
          renameSync(from, to)
          this.#rename(from, to)
        }),
      unlink: (path) =>
        call('unlink', path, (fault) => {
          if (fault) return
          unlinkSync(path)
          this.#remove(path)
        }),
      rmdir: (path) =>
        call('rmdir', path, (fault) => {
          if (fault) return
          rmdirSync(path)
          this.#remove(path)
        }),
      readdir: async (path) => {
        await turn()
        return readdirSync(path)
      },
      mkdir: async (path, mode) => {
        await turn()
        if (path === this.dir || this.#find(path) !== undefined) return undefined
        return call('mkdir', path, (fault) => {
          if (fault) return undefined
          const first = mkdirSync(path, { recursive: true, mode })
          const missing: string[] = []
          for (let at = path; at !== this.dir && this.#find(at) === undefined; at = dirname(at))
            missing.unshift(at)
          for (const at of missing) this.#add(at, directoryNode())
          return first
        })
      },
      lock: (fd) => realFileSystem.lock(fd),
    }
  }

  /** The directory as the power loss of this moment would leave it. */
  image(survival: Survival): Image {
    const children = new Map<Node, Map<string, Node>>()
    const of = (node: Node): Map<string, Node> => {
      const known = children.get(node) ?? new Map<string, Node>()
      children.set(node, known)
      return known
    }
    for (const { removed, added, node, durable } of this.#names) {
      if (!durable && !survival.name()) continue
      if (removed !== undefined && of(removed.from).get(removed.name) === node)
        of(removed.from).delete(removed.name)
      if (added !== undefined) of(added.to).set(added.name, node)
    }
    const image = new Map<string, Buffer | undefined>()
    const walk = (node: Node, path: string): void => {
      for (const [name, child] of of(node)) {
        const at = join(path, name)
        image.set(at, child.children === undefined ? contentOf(child, survival) : undefined)
        if (child.children !== undefined) walk(child, at)
      }
    }
    walk(this.#root, '')
    return image
  }

  #opened(
    path: string,
    fd: number,
    {
      turn,
      call,
      close,
    }: {
      turn: () => Promise<void>
      call: <T>(
        name: Call['name'],
        path: string,
        act: (fault?: 'short') => T,
        lost?: () => void,
      ) => Promise<T>
      close: (fd: number) => void
    },
  ): OpenFile {
    const node = this.#find(path)!
    const settle = (to: Durability): void => {
      for (const change of node.changes) if (change.durability === 'pending') change.durability = to
    }
    const sync = (): Promise<void> =>
      call(
        'sync',
        path,
        (fault) => {
          if (fault) return
          settle('durable')
          for (const change of this.#names) {
            if (change.removed?.from === node || change.added?.to === node) change.durable = true
          }
        },
        () => settle('lost'),
      )
    return {
      fd,
      writev: (buffers, position) =>
        call('writev', path, (fault) => {
          const all = Buffer.concat(buffers)
          const bytes = fault ? all.subarray(0, all.length >> 1) : all
          if (bytes.length > 0) writeSync(fd, bytes, 0, bytes.length, position)
          node.changes.push({ offset: position, bytes, durability: 'pending' })
          return { bytesWritten: bytes.length }
        }),
      sync,
      datasync: sync,
      truncate: (length) =>
        call('truncate', path, (fault) => {
          if (fault) return
          ftruncateSync(fd, length)
          node.changes.push({ offset: length, bytes: undefined, durability: 'pending' })
        }),
      stat: async () => {
        await turn()
        return fstatSync(fd)
      },
      close: async () => {
        await turn()
        close(fd)
      },
    }
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#root
    for (const name of relative(this.dir, path).split('/').filter(Boolean)) node = node?.children?.get(name)
    return node
  }

  #add(path: string, node: Node): void {
    const to = this.#find(dirname(path))!
    to.children!.set(basename(path), node)
    this.#names.push({ added: { to, name: basename(path) }, node, durable: false })
  }

  #remove(path: string): void {
    const from = this.#find(dirname(path))!
    const node = this.#find(path)!
    from.children!.delete(basename(path))
    this.#names.push({ removed: { from, name: basename(path) }, node, durable: false })
  }

  #rename(from: string, to: string): void {
    const node = this.#find(from)!
    const [source, target] = [this.#find(dirname(from))!, this.#find(dirname(to))!]
    source.children!.delete(basename(from))
    target.children!.set(basename(to), node)
    const removed = { from: source, name: basename(from) }
    this.#names.push({ removed, added: { to: target, name: basename(to) }, node, durable: false })
  }
}

function contentOf({ changes }: Node, survival: Survival): Buffer {
  let content = Buffer.alloc(0)
  const grow = (size: number): void => {
    if (size > content.length) content = Buffer.concat([content, Buffer.alloc(size - content.length)])
  }
  for (const { offset, bytes, durability } of changes) {
    if (durability === 'lost') continue
    const durable = durability === 'durable'
    if (bytes === undefined) {
      if (durable || survival.truncation()) content = Buffer.from(content.subarray(0, offset))
      continue
    }
    for (const [from, to] of durable ? [[0, bytes.length] as const] : survival.bytes(bytes.length)) {
      if (to <= from) continue
      grow(offset + to)
      bytes.copy(content, offset + from, from, to)
    }
  }
  return content
}

/** Makes files of an image. @param dir an empty directory */
export function materialise(image: Image, dir: string): void {
  for (const [path, bytes] of image) {
    if (bytes === undefined) mkdirSync(join(dir, path))
    else writeFileSync(join(dir, path), bytes)
  }
}

/** The real file system without its fsyncs, and without waiting: for what is looked at once and thrown away. */
export const hastyFileSystem: FileSystem = {
  async open(path, flags, mode) {
    const fd = openSync(path, flags, mode)
    return {
      fd,
      writev: async (buffers, position) => ({ bytesWritten: writevSync(fd, buffers, position) }),
      sync: async () => {},
      datasync: async () => {},
      truncate: async (length) => ftruncateSync(fd, length),
      stat: async () => fstatSync(fd),
      close: async () => closeSync(fd),
    }
  },
  rename: async (from, to) => renameSync(from, to),
  unlink: async (path) => unlinkSync(path),
  rmdir: async (path) => rmdirSync(path),
  readdir: async (path) => readdirSync(path),
  mkdir: async (path, mode) => mkdirSync(path, { recursive: true, mode }),
  lock: realFileSystem.lock,
}
