/** What of the gateway nobody but root may get at, and a forgery of what it is trusted by. */
import { X509Certificate } from 'node:crypto'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import { REPOSITORY } from '../../lab/places.ts'
import { childrenOf } from '../../lab/processes.ts'
import type { World } from './world.ts'

/** What pry.py tries. */
export interface Targets {
  readonly files: readonly string[]
  readonly directories: readonly string[]
  readonly pids: readonly number[]
  readonly sockets: readonly string[]
}

export const pry = (targets: Targets): string[] => [
  ...['/usr/bin/python3', '-B', `${REPOSITORY}/test/lab/attackers/pry.py`],
  JSON.stringify(targets),
]

/** All that the gateway has, less what is for everybody and what belongs to the account `uid` itself. */
export async function targetsFor({ gateway }: World, uid: number): Promise<Targets> {
  const { config, paths } = gateway
  const { pid } = (await gateway.state())!
  const all = familyOf(pid)
  const own = new Set(all.filter((each) => uidOf(each) === uid))
  const recorders = own.has(
    (await gateway.state())!.children.find(({ name }) => name === 'recorder')?.pid ?? 0,
  )
  const isOwn = (path: string) =>
    recorders && [paths.recorderState, paths.chainState].some((below) => path.startsWith(below))
  const everybodys = [paths.caCertificate, paths.verifierKey, paths.statusSocket]
  const sockets = listeningSockets(all).filter(
    (path) =>
      !everybodys.includes(path) &&
      !(path === paths.recorderSocket && own.size > 0) &&
      // The recorder listens there, and hears root alone.
      !(path === paths.adminSocket && recorders),
  )
  const kept = filesBelow(config.stateDir, config.logDir).filter(
    (path) => !everybodys.includes(path) && !isOwn(path),
  )
  return {
    files: [config.vault.hostKeyFile, ...kept],
    directories: [...new Set(kept.map((path) => dirname(path)))],
    pids: all.filter((each) => !own.has(each)),
    sockets,
  }
}

/** The most that the kernel would write of the memory of each of the gateway's processes where it crashed. */
export async function coreLimits({ gateway }: World): Promise<string[]> {
  const pids = familyOf((await gateway.state())!.pid)
  return pids.map(
    (pid) => /^Max core file size +(\S+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))?.[1] ?? '',
  )
}

/** A shell script that makes a CA of the same name as `genuine`, and a certificate of it for `name`, in `directory`. */
export function forgery(genuine: string, name: string, directory: string): string {
  const { subject } = new X509Certificate(genuine)
  const distinguished = subject
    .split('\n')
    .map((part) => `/${part}`)
    .join('')
  return `set -e; mkdir -p ${directory}; cd ${directory}
    key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
    key ca.key; key leaf.key
    openssl req -x509 -new -key ca.key -subj '${distinguished}' -days 90 -out ca.crt
    openssl req -new -key leaf.key -subj '/CN=${name}' -out leaf.csr
    echo 'subjectAltName=DNS:${name}' >leaf.ext
    openssl x509 -req -in leaf.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile leaf.ext -out leaf.crt`
}

function filesBelow(...directories: readonly string[]): string[] {
  return directories.flatMap((directory) =>
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => `${entry.parentPath}/${entry.name}`),
  )
}

/** A process with all that descend from it. */
function familyOf(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap((child) => familyOf(child.pid))]
}

function uidOf(pid: number): number {
  return Number(/^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}

/** UNIX sockets on which these processes listen, as /proc/net/unix names them: abstract ones begin with @. */
function listeningSockets(pids: readonly number[]): string[] {
  const inodes = new Set(pids.flatMap(socketsOf))
  const found = readFileSync(`/proc/${pids[0]}/net/unix`, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, , , flags = '', , , inode = '', path] = line.trim().split(/\s+/)
      // __SO_ACCEPTCON: it listens.
      const listens = (Number.parseInt(flags, 16) & 0x10000) !== 0
      return listens && path !== undefined && inodes.has(inode) ? [path] : []
    })
  return [...new Set(found)]
}

function socketsOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? []
    } catch {
      return []
    }
  })
}
