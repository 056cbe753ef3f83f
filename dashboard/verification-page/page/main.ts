/**
 * The verification page: what a receipt proves, found by the code that `agent-anchor verify --receipt` runs.
 *
 * Threat model: the receipt is hostile, all text in it too. The page's own policy lets nothing load, connect or
 * inject; nothing from a receipt becomes markup, a style or an address.
 */
import { config } from 'zod'
import type { Finding } from '../../../daemon/receipt/findings.ts'
import { findingsText } from '../../../daemon/receipt/findings-text.ts'
import { MAX_RECEIPT, parseReceipt, type Receipt } from '../../../daemon/receipt/receipt.ts'
import { ReceiptError } from '../../../daemon/receipt/receipt-error.ts'
import { type VerifyOptions, verifyReceipt } from '../../../daemon/receipt/verify.ts'
import { byId } from './elements.ts'
import { showOutcome, showRefusal, textOf } from './view.ts'

// The page's policy forbids making code out of strings, which zod would otherwise try.
config({ jitless: true })

const file = byId('file', HTMLInputElement)
const fileName = byId('file-name', HTMLElement)
const key = byId('key', HTMLTextAreaElement)
const witnesses = byId('witnesses', HTMLTextAreaElement)
const quorum = byId('quorum', HTMLInputElement)
const copy = byId('copy', HTMLButtonElement)

let chosen: File | undefined
/** Counts verifications: only the last one may show what it found. */
let turn = 0
let shown: readonly Finding[] = []

async function verify(): Promise<void> {
  const own = ++turn
  if (chosen === undefined) return
  const { name } = chosen
  try {
    const receipt = await read(chosen)
    const verification = await verifyReceipt(receipt, options())
    if (own !== turn) return
    shown = verification.findings
    showOutcome(receipt, verification)
  } catch (error) {
    if (own !== turn) return
    shown = []
    showRefusal(name, error)
  }
}

/** @throws ReceiptError */
async function read(given: File): Promise<Receipt> {
  if (given.size > MAX_RECEIPT) {
    const remedy = 'Give a file that `agent-anchor export ID -o FILE` wrote.'
    throw new ReceiptError('RECEIPT_TOO_LARGE', `a receipt has ${MAX_RECEIPT >> 20} MiB at most`, remedy)
  }
  return parseReceipt(new Uint8Array(await given.arrayBuffer()))
}

function options(): VerifyOptions {
  const expectedKey = key.value.trim()
  const keys = witnesses.value
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  const needed = quorum.valueAsNumber
  return {
    ...(expectedKey === '' ? {} : { expectedKey }),
    ...(keys.length === 0 ? {} : { witnesses: { keys, ...(needed >= 1 ? { quorum: needed } : {}) } }),
  }
}

function choose(given: File | undefined): void {
  if (given === undefined) return
  chosen = given
  fileName.textContent = textOf(given.name)
  void verify()
}

file.addEventListener('change', () => choose(file.files?.[0]))
for (const field of [key, witnesses, quorum]) field.addEventListener('input', () => void verify())
byId('form', HTMLFormElement).addEventListener('submit', (event) => event.preventDefault())

const dragged = (on: boolean) => document.body.classList.toggle('dragged', on)
document.addEventListener('dragover', (event) => {
  event.preventDefault()
  dragged(true)
})
document.addEventListener('dragleave', () => dragged(false))
document.addEventListener('drop', (event) => {
  event.preventDefault()
  dragged(false)
  choose(event.dataTransfer?.files[0])
})

copy.addEventListener('click', () => void copyFindings())

async function copyFindings(): Promise<void> {
  try {
    await navigator.clipboard.writeText(`${findingsText(shown)}\n`)
    copy.textContent = 'Copied'
  } catch {
    copy.textContent = 'Not allowed: select it below'
  }
  setTimeout(() => {
    copy.textContent = 'Copy as text'
  }, 2_000)
}
