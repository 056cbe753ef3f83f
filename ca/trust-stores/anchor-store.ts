/**
 * A store of the usual shape: a directory of anchors, one certificate a file, from which the distribution's tool makes
 * the bundle (and more) that programs read. Each distribution's own file says where and with which tool.
 */
import { join } from 'node:path'
import { removeFile } from '../../daemon/base/durable/files.ts'
import { messageOf } from '../../daemon/base/errors.ts'
import { CaError } from '../ca-error.ts'
import { writePublicFile } from '../public-file.ts'
import { authorities, base64Of, oursIn } from './authorities.ts'
import { exists, readText } from './files.ts'
import { type RunCommand, runCommand } from './run-command.ts'
import type { TrustState, TrustStore } from './trust-store.ts'

export interface StoreOptions {
  /** Prefix of all paths */
  readonly root?: string
  readonly run?: RunCommand
}

/** All paths without the leading slash. */
export interface AnchorStore {
  readonly name: string
  /** Without any of these the machine has no such store. */
  readonly required: readonly string[]
  readonly anchors: string
  readonly extension: 'crt' | 'pem'
  /** The tool's work that is looked at; not a link to it, which would lead out of `root`. */
  readonly bundle: string
  /** What the tool links each anchor as, where it does. */
  readonly link?: (name: string) => string
  readonly tool: string
  /** @param over an anchor of ours is changed or goes: not only a new one added */
  readonly args: (over: boolean, root: string) => readonly string[]
  /** What has to hear that anchors go, before the tool runs. A failure doesn't keep them from going: it comes back. */
  readonly beforeDrop?: (
    links: readonly string[],
    root: string,
    run: RunCommand,
  ) => Promise<CaError | undefined>
  /** How the distribution's package with the tool is installed. */
  readonly getTool: string
}

/** One certificate a file, for some tools take only the first of a file; of two, the successor has the second. */
const NAMES = ['agent-anchor-gateway', 'agent-anchor-gateway-2']

/** The certificates of the gateway's own authority are the only anchors that such a store touches. */
export function anchorStore(store: AnchorStore, options: StoreOptions = {}): TrustStore {
  const root = options.root ?? '/'
  const run = options.run ?? runCommand
  const anchors = NAMES.map((name) => join(root, store.anchors, `${name}.${store.extension}`))
  const { link } = store
  const links = link === undefined ? [] : NAMES.map((name) => join(root, link(name)))
  const bundle = join(root, store.bundle)

  async function check(certificates: readonly string[]): Promise<TrustState> {
    for (const path of store.required) if (!(await exists(join(root, path)))) return 'unsupported'
    const wanted = authorities(certificates)
    const anchored = await Promise.all(anchors.map(readText))
    const linked = await Promise.all(links.map(exists))
    const bundled = await ours()
    if (anchored.every((text) => text === undefined)) {
      return linked.includes(true) || bundled.size > 0 ? 'stale' : 'absent'
    }
    const whole =
      anchored.every((text, i) => isSame(text, wanted[i])) &&
      linked.every((there, i) => there === i < wanted.length)
    const complete = wanted.every((pem) => bundled.has(base64Of(pem)))
    return whole && complete && bundled.size === wanted.length ? 'trusted' : 'stale'
  }

  async function install(certificates: readonly string[]): Promise<void> {
    const wanted = authorities(certificates)
    const before = await check(certificates)
    if (before === 'trusted') return
    if (before === 'unsupported') throw unsupported()
    const previous = await Promise.all(anchors.map(readText))
    const goes = await dropped(wanted)
    let failed: CaError | undefined
    try {
      await write(wanted)
      failed = await tell(goes)
      await refresh(before === 'stale')
      if ((await check(certificates)) !== 'trusted') {
        throw refreshFailed(`${bundle} does not hold the certificate afterwards`)
      }
    } catch (error) {
      // A failed install leaves what was there before; what went wrong first is what the caller hears.
      await write(previous)
        .then(() => refresh(true))
        .catch(() => {})
      throw error
    }
    if (failed !== undefined) throw failed
  }

  async function uninstall(): Promise<void> {
    const goes = await dropped([])
    if (goes.length === 0 && (await ours()).size === 0) return
    await write([])
    // Before the tool runs: after a crash the bundle still holds it and says that this isn't done.
    const failed = await tell(goes.length === 0 ? [0] : goes)
    await refresh(true)
    if ((await ours()).size > 0) throw refreshFailed(`${bundle} still holds the certificate`)
    if (failed !== undefined) throw failed
  }

  async function ours(): Promise<Set<string>> {
    return oursIn((await readText(bundle)) ?? '')
  }

  /** Which of our anchors are there, in whole or in part, and aren't wanted any more. */
  async function dropped(wanted: readonly string[]): Promise<number[]> {
    const there = await Promise.all(
      anchors.map(
        async (anchor, i) => (await exists(anchor)) || (links[i] !== undefined && (await exists(links[i]))),
      ),
    )
    return there.flatMap((is, i) => (is && i >= wanted.length ? [i] : []))
  }

  async function tell(goes: readonly number[]): Promise<CaError | undefined> {
    const gone = goes.flatMap((i) => links[i] ?? [])
    return gone.length === 0 ? undefined : await store.beforeDrop?.(gone, root, run)
  }

  async function write(wanted: readonly (string | undefined)[]): Promise<void> {
    for (const [i, anchor] of anchors.entries()) {
      const pem = wanted[i]
      if (pem !== undefined) await writePublicFile(anchor, Buffer.from(pem, 'latin1'), { mode: 0o644 })
      else if (await exists(anchor)) await removeFile(anchor)
    }
  }

  async function refresh(over: boolean): Promise<void> {
    try {
      await run(store.tool, store.args(over, root))
    } catch (cause) {
      if (!(cause instanceof Error && 'code' in cause && cause.code === 'ENOENT')) {
        throw refreshFailed(messageOf(cause), cause)
      }
      throw new CaError(
        'trust-store-tool-missing',
        `${store.tool} was not found`,
        `Install it (${store.getTool}) and run this again.`,
        cause,
      )
    }
  }

  function unsupported(): CaError {
    return new CaError(
      'trust-store-unsupported',
      `this machine has no trust store of the kind ${store.name} (it needs ${store.required.map((path) => `/${path}`).join(', ')})`,
      `Install its tool (${store.getTool}), or add ca/ca.crt to the trust store by hand.`,
    )
  }

  function refreshFailed(what: string, cause?: unknown): CaError {
    return new CaError(
      'trust-store-refresh-failed',
      `the system's trust store could not be brought up to date: ${what}`,
      `Run ${[store.tool, ...store.args(true, '/')].join(' ')} as root, mend what it reports, and run this again.`,
      cause,
    )
  }

  return { name: store.name, where: `/${store.anchors}`, system: true, check, install, uninstall }
}

function isSame(pem: string | undefined, other: string | undefined): boolean {
  return pem === undefined || other === undefined ? pem === other : base64Of(pem) === base64Of(other)
}
