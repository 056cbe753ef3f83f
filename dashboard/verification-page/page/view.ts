/** What was found, as the page shows it. All text comes through {@link textOf}. */
import { AnchorError, messageOf } from '../../../daemon/base/errors.ts'
import { printable } from '../../../daemon/base/printable.ts'
import { type Finding, verdictOn } from '../../../daemon/receipt/findings.ts'
import { verdictText, WORD } from '../../../daemon/receipt/findings-text.ts'
import { bytesOf } from '../../../daemon/receipt/held-record.ts'
import type { Body, Receipt, ReceiptAnchor } from '../../../daemon/receipt/receipt.ts'
import { recordRows } from '../../../daemon/receipt/record-rows.ts'
import type { Verification } from '../../../daemon/receipt/verify.ts'
import { attributed, byId, element } from './elements.ts'
import { explorerLink, networkOf } from './explorers.ts'

/** Records that are written out; and characters of a body. The findings are of all. */
const MOST_RECORDS = 50
const MOST_CHARACTERS = 100_000

export const textOf = printable
const linesOf = (text: string) => text.split(/\r?\n/).map(printable).join('\n')

export function showOutcome(receipt: Receipt, { findings, records, indexes }: Verification): void {
  const why = firstFailure(findings)
  showVerdict(verdictOn(findings), verdictText(findings), why)
  const rows = findings.map(({ check, result, detail }) => {
    const mark = attributed(element('span', WORD[result]), { class: 'mark', 'data-result': result })
    const claim = attributed(element('th', textOf(check)), { scope: 'row' })
    return element('tr', element('td', mark), claim, element('td', textOf(detail)))
  })
  byId('findings', HTMLTableElement).tBodies[0]?.replaceChildren(...rows)
  byId('anchors', HTMLElement).replaceChildren(...anchorLines(receipt.anchors))
  const many = records.length
  const shown = receipt.records.slice(0, MOST_RECORDS).map(({ bodies = [] }, i) => {
    const what = many === 1 ? 'The record' : `Record ${i + 1} of ${many}`
    const title = indexes === undefined ? `${what}, as the receipt has it: not proved` : what
    return recordSection(title, records[i], receipt.records[i]?.record ?? '', bodies)
  })
  const rest = many - shown.length
  byId('records', HTMLElement).replaceChildren(
    ...shown,
    ...(rest > 0 ? [element('p', `${rest} more record(s) are not written out.`)] : []),
  )
  byId('result', HTMLElement).hidden = false
}

/** For what is no receipt at all. */
export function showRefusal(name: string, error: unknown): void {
  byId('result', HTMLElement).hidden = true
  const remedy = error instanceof AnchorError ? error.remedy : ''
  showVerdict('failed', `NOT VERIFIED: ${name}: ${messageOf(error)}`, remedy)
}

function showVerdict(verdict: string, text: string, more: string): void {
  const lines = [text, more].filter((line) => line !== '').map((line) => element('p', textOf(line)))
  const shown = byId('verdict', HTMLElement)
  shown.dataset.verdict = verdict
  shown.replaceChildren(...lines)
}

const firstFailure = (findings: readonly Finding[]): string => {
  const failed = findings.find(({ result }) => result === 'failed')
  return failed === undefined ? '' : `${failed.check}: ${failed.detail}`
}

/** Where each anchor can be looked at: by the gateway's own list of networks, never by the receipt. */
function anchorLines(anchors: readonly ReceiptAnchor[]): HTMLElement[] {
  if (anchors.length === 0) return []
  const lines = anchors.map(({ chain, chainId, transaction, block }) => {
    const network = networkOf(chainId)
    const name = textOf(`${chain}: ${network?.title ?? 'a chain unknown here'}, chain id ${chainId}`)
    if (network?.explorer === undefined) return element('p', `${name}: no public explorer. Not checked.`)
    const { explorer } = network
    const link = (what: 'tx' | 'block', id: string | number, text: string) =>
      attributed(element('a', text), {
        href: explorerLink(explorer, what, id),
        target: '_blank',
        rel: 'noopener noreferrer',
      })
    const where = new URL(explorer).host
    return element(
      'p',
      `${name}. Not checked here; at ${where}: `,
      link('tx', transaction, 'transaction'),
      ', ',
      link('block', block, `block ${block}`),
    )
  })
  return [element('h3', 'Anchors'), ...lines]
}

function recordSection(
  title: string,
  record: object | undefined,
  leaf: string,
  bodies: readonly Body[],
): HTMLElement {
  const rows = record === undefined ? [] : recordRows(record)
  const fields = rows.map(([name, value]) =>
    element('tr', attributed(element('th', textOf(name)), { scope: 'row' }), element('td', textOf(value))),
  )
  const content =
    record === undefined
      ? element('pre', linesOf(leaf.slice(0, MOST_CHARACTERS)))
      : element('table', element('tbody', ...fields))
  const what = element('details', element('summary', `${rows.length || 'Unknown'} fields`), content)
  const section = element('section', element('h3', title), what, ...bodies.map(bodySection))
  return attributed(section, { class: 'record' })
}

function bodySection(body: Body): HTMLElement {
  let bytes: Uint8Array
  try {
    bytes = bytesOf(body).bytes
  } catch {
    return element('p', `${body.part}: not base64`)
  }
  const text = new TextDecoder().decode(bytes.subarray(0, MOST_CHARACTERS))
  const cut = bytes.length > MOST_CHARACTERS ? `, the first ${MOST_CHARACTERS} shown` : ''
  const summary = element('summary', `${body.part}, ${bytes.length} bytes${cut}`)
  return element('details', summary, element('pre', linesOf(text)))
}
