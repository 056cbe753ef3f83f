/** What lies on a machine's disk, for a comparison of before and after. */
import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'

/** No disk, or what every system writes by itself as it runs. */
const PASSED_OVER =
  /^\/(proc|sys|dev|run|tmp|var\/(tmp|cache|log\/(journal|[bw]tmp|lastlog)|lib\/systemd)|etc\/(passwd|group|shadow|gshadow|subuid|subgid)-)$/
/** Here a change is told by its content; elsewhere by size and time. */
const READ = /^\/(etc|usr\/local|opt|root|home|var|srv)(\/|$)/

/** Path to kind, mode, owner and content of everything below `root`. */
export function listDisk(root: string): Map<string, string> {
  const found = new Map<string, string>()
  const walk = (directory: string) => {
    for (const name of readdirSync(join(root, directory))) {
      const path = join(directory, name)
      if (PASSED_OVER.test(path)) continue
      const file = join(root, path)
      const stat = lstatSync(file)
      const what = stat.isSymbolicLink()
        ? readlinkSync(file)
        : !stat.isFile()
          ? ''
          : READ.test(path)
            ? createHash('sha256').update(readFileSync(file)).digest('hex')
            : `${stat.size} ${stat.mtimeMs}`
      found.set(path, `${stat.mode.toString(8)} ${stat.uid}:${stat.gid} ${what}`)
      if (stat.isDirectory()) walk(path)
    }
  }
  walk('/')
  return found
}

/** One line a difference: added (+), gone (-), changed (~). */
export function compareDisks(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): string[] {
  const lines: string[] = []
  for (const [path, was] of before) {
    const is = after.get(path)
    if (is === undefined) lines.push(`- ${path}`)
    else if (is !== was) lines.push(`~ ${path}`)
  }
  for (const path of after.keys()) if (!before.has(path)) lines.push(`+ ${path}`)
  return lines.sort()
}
