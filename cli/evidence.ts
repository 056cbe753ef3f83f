/** The state directory as the commands read it: beside a running daemon, or after its death. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { keepMemoryPrivate } from '../daemon/base/private-memory.ts'
import { readAnchors } from '../daemon/chain-writer/anchors.ts'
import { type Config, loadConfig } from '../daemon/config/config.ts'
import { readCosigned } from '../daemon/ledger/cosigned-file.ts'
import { type LedgerReader, openReader } from '../daemon/ledger/reader.ts'
import { ReceiptError } from '../daemon/receipt/receipt-error.ts'
import type { Sources } from '../daemon/receipt/sources.ts'
import { parseLeaf, type Row } from '../daemon/recorder/index/row.ts'
import { openIndex, type RecordIndex } from '../daemon/recorder/index-reader.ts'
import { type Layout, layout } from '../daemon/supervisor/layout.ts'
import { vaultPlace } from '../daemon/supervisor/vault-place.ts'
import { openBodyKey } from '../daemon/vault/keys.ts'
import { openVault } from '../daemon/vault/open-vault.ts'
import type { Vault } from '../daemon/vault/vault.ts'
import { NoEvidence, NoVerifierKey, requireRoot } from './cli-error.ts'
import type { GlobalOptions } from './command.ts'
import { secretsOf } from './secrets.ts'

export interface Evidence {
  readonly config: Config
  readonly paths: Layout
  /** Opened when it is first asked for. @throws RecorderError DAMAGED */
  readonly index: RecordIndex
  readonly ledger: LedgerReader
  readonly verifierKey: string
  vault(): Promise<Vault>
  /** Opened only when bodies are read. */
  bodyKey(): Promise<Buffer>
}

/** @throws CliError NOT_ROOT, NO_VERIFIER_KEY, NO_EVIDENCE where no gateway has ever run with this configuration. */
export async function openEvidence(options: GlobalOptions, command: string): Promise<Evidence> {
  const config = loadConfig(options.config)
  requireRoot(command)
  const paths = layout(config)
  const verifierKey = await readFile(paths.verifierKey, 'utf8').catch(() => undefined)
  if (verifierKey === undefined) {
    throw existsSync(paths.ledger) ? new NoVerifierKey(paths.verifierKey) : new NoEvidence(config.stateDir)
  }
  let opened: Promise<Vault> | undefined
  const vault = () => {
    // Once: a passphrase is asked for once.
    keepMemoryPrivate()
    opened ??= openVault(vaultPlace(config, paths, secretsOf(options)))
    return opened
  }
  let index: RecordIndex | undefined
  return {
    config,
    paths,
    get index() {
      index ??= openIndex(paths.recorderState)
      return index
    },
    ledger: openReader(paths.ledger),
    verifierKey: verifierKey.trim(),
    vault,
    bodyKey: async () => openBodyKey(await vault(), paths.keysDirectory),
  }
}

/** @throws ReceiptError NO_SUCH_RECORD */
export function findRecord(evidence: Evidence, id: string): Row {
  const row = evidence.index.get(id)
  if (row !== undefined) return row
  throw new ReceiptError(
    'NO_SUCH_RECORD',
    `there is no record ${id}`,
    'agent-anchor records lists what there is.',
  )
}

export const sourcesOf = (evidence: Evidence): Sources => ({
  ledger: evidence.ledger,
  verifierKey: evidence.verifierKey,
  anchors: readAnchors(evidence.paths.chainState),
  cosigned: () => readCosigned(evidence.paths.ledger),
  keyRecords: () => keyRecords(evidence.index),
})

const PAGE = 1000

/** Leaves of the records that name the log's keys, oldest first: a handful among the audit records. */
function keyRecords(index: RecordIndex): bigint[] {
  const found: bigint[] = []
  for (let before: number | undefined; ; ) {
    const rows = index.list({ kind: 'audit', limit: PAGE, before })
    for (const { leaf, bytes } of rows) {
      const record = parseLeaf(bytes)
      if (record.kind === 'audit' && record.event === 'key-rotated' && record.detail.key === 'log')
        found.push(BigInt(leaf))
    }
    before = rows.at(-1)?.leaf
    if (rows.length < PAGE) return found.reverse()
  }
}
