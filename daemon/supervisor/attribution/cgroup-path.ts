/**
 * What a cgroup's path says about who runs in it: systemd's unit, the container. Pure.
 *
 * Threat model: below `user@UID.service` the names are the user's own to choose; a unit found there carries that prefix,
 * and the path itself stands in the record beside what was read from it.
 */
export interface CgroupPlace {
  readonly unit?: string
  /** `RUNTIME:ID`. */
  readonly container?: string
}

/** systemd.unit(5): the kinds of unit that hold processes. */
const UNIT = /^[A-Za-z0-9:_.@\\-]+\.(?:service|scope|socket|mount|swap)$/
const USER_MANAGER = /^user@\d+\.service$/
/** Docker, podman, containerd and CRI-O name containers by 32 random bytes. */
const ID = '[0-9a-f]{64}'

/** Scopes and directories that name runtime and id; conmon's are the runtime's own processes beside the container. */
const NAMED: readonly { readonly pattern: RegExp; readonly runtime: string }[] = [
  { pattern: new RegExp(`^docker-(${ID})(?:\\.scope)?$`), runtime: 'docker' },
  { pattern: new RegExp(`^libpod-(${ID})(?:\\.scope)?$`), runtime: 'podman' },
  { pattern: new RegExp(`^cri-containerd-(${ID})(?:\\.scope)?$`), runtime: 'containerd' },
  { pattern: new RegExp(`^nerdctl-(${ID})(?:\\.scope)?$`), runtime: 'containerd' },
  // containerd with the systemd driver's `slice:prefix:name` given to the cgroupfs driver.
  { pattern: new RegExp(`^[^/]*:cri-containerd:(${ID})$`), runtime: 'containerd' },
  { pattern: new RegExp(`^crio-(${ID})(?:\\.scope)?$`), runtime: 'crio' },
  { pattern: /^lxc\.payload\.(.+)$/, runtime: 'lxc' },
  { pattern: /^systemd-nspawn@(.+)\.service$/, runtime: 'nspawn' },
  { pattern: /^machine-lxc\\x2d\d+\\x2d(.+)\.scope$/, runtime: 'libvirt-lxc' },
  { pattern: /^machine-(?!qemu\\x2d|lxc\\x2d)(.+)\.scope$/, runtime: 'nspawn' },
]

/** Directories below one of these are named by the bare id. */
const PARENTS: readonly { readonly parent: RegExp; readonly id: RegExp; readonly runtime: string }[] = [
  { parent: /^docker$/, id: new RegExp(`^${ID}$`), runtime: 'docker' },
  { parent: /^libpod_parent$/, id: new RegExp(`^${ID}$`), runtime: 'podman' },
  {
    parent: /^(?:kubepods-)?.*pod[0-9a-f_-]{32,36}(?:\.slice)?$/,
    id: new RegExp(`^${ID}$`),
    runtime: 'kubernetes',
  },
  { parent: /^(?:lxc|lxc\.payload)$/, id: /^.+$/, runtime: 'lxc' },
]

/** @param path of the cgroup below the root of its hierarchy, `/system.slice/x.service` */
export function describeCgroup(path: string): CgroupPlace {
  const parts = path.split('/').filter((part) => part !== '')
  const unit = unitOf(parts)
  const container = containerOf(parts)
  return { ...(unit === undefined ? {} : { unit }), ...(container === undefined ? {} : { container }) }
}

function unitOf(parts: readonly string[]): string | undefined {
  const at = parts.findIndex((part) => !isSlice(part))
  const unit = unitName(parts[at])
  if (unit === undefined || !USER_MANAGER.test(unit)) return unit
  const inner = parts.slice(at + 1).find((part) => !isSlice(part))
  const own = unitName(inner)
  return own === undefined ? unit : `${unit}/${own}`
}

const isSlice = (part: string) => part.endsWith('.slice')

/** systemd puts `_` before a name that the kernel might take for one of its own files. */
function unitName(part: string | undefined): string | undefined {
  const name = part?.startsWith('_') ? part.slice(1) : part
  return name !== undefined && UNIT.test(name) ? name : undefined
}

/** The innermost: a container in a container is the one that the process is in. */
function containerOf(parts: readonly string[]): string | undefined {
  for (let i = parts.length - 1; i >= 0; i--) {
    const part = parts[i] as string
    for (const { pattern, runtime } of NAMED) {
      const id = pattern.exec(part)?.[1]
      if (id !== undefined) return `${runtime}:${unescaped(id)}`
    }
    const parent = parts[i - 1]
    if (parent === undefined) continue
    const bare = PARENTS.find((shape) => shape.parent.test(parent) && shape.id.test(part))
    if (bare) return `${bare.runtime}:${part}`
  }
  return undefined
}

/** systemd-escape(1): `\x2d` is a dash. */
function unescaped(name: string): string {
  return name.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

/** A line of /proc/PID/cgroup: hierarchy, its controllers or name, path. */
const LINE = /^\d+:([^:]*):(\/.*)$/

export interface ProcessCgroup extends CgroupPlace {
  readonly cgroup?: string
}

/**
 * The cgroup of a process, from /proc/PID/cgroup. Where version 2 alone is in use there is one line; hybrid and legacy
 * machines have units in `name=systemd` and containers also in the controllers' hierarchies.
 */
export function processCgroup(text: string): ProcessCgroup {
  const lines = text.split('\n').flatMap((line) => {
    const found = LINE.exec(line)
    // The kernel marks a directory that was removed.
    return found
      ? [{ name: found[1] as string, path: (found[2] as string).replace(/ \(deleted\)$/, '') }]
      : []
  })
  const order = (name: string) => (name === '' ? 0 : name === 'name=systemd' ? 1 : 2)
  const paths = lines.sort((a, b) => order(a.name) - order(b.name)).map(({ path }) => path)
  const telling = paths.filter((path) => path !== '/')
  const places = telling.map(describeCgroup)
  const unit = places.find((place) => place.unit !== undefined)?.unit
  const container = places.find((place) => place.container !== undefined)?.container
  const cgroup = telling[0] ?? paths[0]
  return {
    ...(cgroup === undefined ? {} : { cgroup }),
    ...(unit === undefined ? {} : { unit }),
    ...(container === undefined ? {} : { container }),
  }
}
