/**
 * The verification page in a real browser, from its file, in a network namespace without any network: what it finds is
 * what the command finds, and nothing out of a receipt does anything.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import fc from 'fast-check'
import t from 'tap'
import { AnchorError } from '../../daemon/base/errors.ts'
import { printable } from '../../daemon/base/printable.ts'
import type { Finding } from '../../daemon/receipt/findings.ts'
import { findingsText, verdictText, WORD } from '../../daemon/receipt/findings-text.ts'
import { formatReceipt, parseReceipt } from '../../daemon/receipt/receipt.ts'
import { type VerifyOptions, verifyReceipt } from '../../daemon/receipt/verify.ts'
import { PAGE_FILE, pageText } from '../../dashboard/verification-page/build.ts'
import { openTab } from '../lab/devtools.ts'
import {
  anchorsOf,
  cosigned,
  EXCHANGE,
  makeLog,
  oldKey,
  receiptOf,
  said,
  withBodies,
  witnesses,
} from '../unit/receipt-fixture.ts'
import { mutatedReceipt } from '../unit/receipt-mutations.ts'

t.setTimeout(240_000)
const reader = await makeLog(t.testdir())
const anchored = anchorsOf('rpc', reader)
const exchange = cosigned(withBodies(receiptOf(reader, [EXCHANGE], anchored)), witnesses.slice(0, 2))
const batch = withBodies(receiptOf(reader, [0n, EXCHANGE, 5n], anchored))
const files = [receiptOf(reader, [1n], anchored), exchange, batch].map(formatReceipt)
const expectedKey = oldKey.verifierKey
const trusted = { keys: witnesses.map(({ verifierKey }) => verifierKey), quorum: 2 }

const tab = await openTab(pathToFileURL(PAGE_FILE).href)
t.teardown(() => tab.close())

interface Shown {
  readonly verdict: string
  readonly lines: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

/** Gives the page files one after the other, as a user who chooses them would, and reads what it shows for each. */
async function shown(given: readonly string[], options: VerifyOptions = { expectedKey }): Promise<Shown[]> {
  await tab.evaluate(`{
    const set = (id, value) => { document.getElementById(id).value = value }
    set('key', ${JSON.stringify(options.expectedKey ?? '')})
    set('witnesses', ${JSON.stringify(options.witnesses?.keys.join('\n') ?? '')})
    set('quorum', ${JSON.stringify(String(options.witnesses?.quorum ?? ''))})
  }`)
  const base64 = JSON.stringify(given.map((file) => Buffer.from(file, 'latin1').toString('base64')))
  return tab.evaluate<Shown[]>(`(async () => {
    const verdict = document.getElementById('verdict')
    const input = document.getElementById('file')
    const found = []
    for (const one of ${base64}) {
      const bytes = Uint8Array.from(atob(one), (character) => character.charCodeAt(0))
      const transfer = new DataTransfer()
      transfer.items.add(new File([bytes], 'receipt.json'))
      const changed = new Promise((resolve) => {
        const watch = new MutationObserver(() => { watch.disconnect(); resolve() })
        watch.observe(verdict, { childList: true })
      })
      input.files = transfer.files
      input.dispatchEvent(new Event('change'))
      await changed
      await new Promise((resolve) => setTimeout(resolve))
      const text = (element) => element.textContent
      const hidden = document.getElementById('result').hidden
      found.push({
        verdict: verdict.dataset.verdict,
        lines: [...verdict.children].map(text),
        rows: hidden ? [] : [...document.querySelectorAll('#findings tbody tr')].map((row) => [...row.cells].map(text)),
      })
    }
    return found
  })()`)
}

/** What the command's own code finds, as the page must show it. */
async function expected(file: Buffer, options: VerifyOptions = { expectedKey }) {
  let findings: readonly Finding[]
  try {
    findings = (await verifyReceipt(parseReceipt(file), options)).findings
  } catch (error) {
    if (!(error instanceof AnchorError)) throw error
    return { first: `NOT VERIFIED: receipt.json: ${error.message}`, rows: [] }
  }
  const rows = findings.map(({ check, result, detail }) => [
    WORD[result],
    printable(check),
    printable(detail),
  ])
  return { first: verdictText(findings), rows }
}

const latin1 = (file: string) => Buffer.from(file).toString('latin1')

t.test('the committed page is what its source makes', async (t) => {
  t.ok(readFileSync(PAGE_FILE, 'utf8') === (await pageText()), 'else: npm run build:page')
})

t.test(
  'it says what the command says, for receipts of one record and of several, with key and without',
  async (t) => {
    for (const options of [
      { expectedKey },
      {},
      { expectedKey, witnesses: trusted },
      { expectedKey: 'none+1' },
    ]) {
      const pages = await shown(files.map(latin1), options)
      for (const [i, file] of files.entries()) {
        const { first, rows } = await expected(Buffer.from(file), options)
        t.equal(pages[i]?.lines[0], printable(first))
        t.same(pages[i]?.rows, rows)
      }
    }
  },
)

t.test('it shows the record, what was said, and where to look the anchor up', async (t) => {
  await shown([latin1(files[1]!)])
  const text = await tab.evaluate<string>(`document.getElementById('records').textContent`)
  t.match(text, /server\.name/)
  for (const part of Object.values(said)) t.ok(text.includes(part.trim().split(/\r?\n/)[0]!), part)
  const links = await tab.evaluate<string[]>(
    `[...document.querySelectorAll('#anchors a')].map((a) => a.href)`,
  )
  t.same(links, [`https://etherscan.io/tx/0x${'ab'.repeat(32)}`, 'https://etherscan.io/block/7'])
})

t.test('of 1,000 mutated receipts it says what the command says', async (t) => {
  const mutated = fc.sample(mutatedReceipt(files), { numRuns: 1000, seed: 7 }).map(({ file }) => file)
  const options = { expectedKey, witnesses: trusted }
  const pages = await shown(
    mutated.map((file) => file.toString('latin1')),
    options,
  )
  let failed = 0
  const differing: unknown[] = []
  for (const [i, file] of mutated.entries()) {
    const { first, rows } = await expected(file, options)
    const page = pages[i]
    if (page?.lines[0] !== printable(first) || JSON.stringify(page.rows) !== JSON.stringify(rows))
      differing.push({ first, rows, page })
    if (page?.verdict === 'failed') failed += 1
  }
  t.same(differing, [])
  t.ok(failed > 800, `${failed} of 1000 refused or failed`)
})

const HOSTILE = [
  '<img src=x onerror="window.pwned=1">',
  '"><script>window.pwned=1</script>',
  '</script><script>window.pwned=1</script>',
  'javascript:window.pwned=1',
  `'-alert(1)-'`,
  '{{constructor.constructor("window.pwned=1")()}}',
  '\u202etxt.exe\u2066 \u001b[2J',
]

/** The document with a hostile text in each of its strings in turn, and as a key. */
function infested(value: unknown, text: string): unknown[] {
  if (typeof value === 'string') return [text, `${value}${text}`]
  if (typeof value !== 'object' || value === null) return [text]
  const inside = Object.entries(value).flatMap(([key, inner]) =>
    infested(inner, text).map((bad) =>
      Array.isArray(value) ? value.with(Number(key), bad) : { ...value, [key]: bad },
    ),
  )
  return Array.isArray(value) ? inside : [...inside, { ...value, [text]: text }]
}

t.test('nothing out of a receipt becomes markup, script, address or request', async (t) => {
  const [, single] = files
  const bad = HOSTILE.flatMap((text) => infested(JSON.parse(single!), text)).map((one) =>
    latin1(JSON.stringify(one)),
  )
  const own = '{ elements: document.querySelectorAll("script, style, img, iframe, object, svg").length }'
  const before = await tab.evaluate(own)
  await shown(bad, {})
  const hidden = HOSTILE.map((text) => ({ ...JSON.parse(single!), record: text }))
  await shown(
    hidden.map((one) => latin1(JSON.stringify(one))),
    {},
  )
  t.same(await tab.evaluate(own), before)
  t.equal(await tab.evaluate('typeof window.pwned'), 'undefined')
  const text = await tab.evaluate<string>('document.body.textContent')
  t.notMatch(text, /[\u202e\u2066\u001b]/)
  const links = await tab.evaluate<string[]>(`[...document.links].map((a) => a.protocol + a.host)`)
  t.ok(links.every((link) => link === 'https:etherscan.io'))
  t.comment(`${bad.length + hidden.length} infested receipts`)
})

t.test('its findings can be copied as the command prints them', async (t) => {
  await shown([latin1(files[1]!)])
  await tab.call('Browser.grantPermissions', {
    permissions: ['clipboardReadWrite', 'clipboardSanitizedWrite'],
  })
  await tab.call('Page.bringToFront')
  const copied = await tab.evaluate<string>(`(async () => {
    const button = document.getElementById('copy')
    button.click()
    while (button.textContent === 'Copy as text') await new Promise((resolve) => setTimeout(resolve, 10))
    const said = button.textContent
    const copied = said === 'Copied' ? await navigator.clipboard.readText() : said
    while (button.textContent === said) await new Promise((resolve) => setTimeout(resolve, 10))
    return copied
  })()`)
  const { findings } = await verifyReceipt(parseReceipt(Buffer.from(files[1]!)), { expectedKey })
  t.equal(copied, `${findingsText(findings)}\n`)
})

t.test('it runs under a policy that lets nothing load, connect or inject', async (t) => {
  const tries = await tab.evaluate<string[]>(`(async () => {
    const outcome = async (act) => { try { await act(); return 'did' } catch { return 'refused' } }
    return [
      await outcome(() => fetch('https://example.com/')),
      await outcome(() => { document.body.innerHTML = '<b>x</b>' }),
      await outcome(() => { new Function('return 1')() }),
      await outcome(() => new Promise((resolve, reject) => {
        const image = new Image()
        Object.assign(image, { onload: resolve, onerror: reject, src: 'data:image/gif;base64,R0lGODlhAQABAAAAACw=' })
      })),
    ]
  })()`)
  t.same(tries, ['refused', 'refused', 'refused', 'refused'])
})

t.test('with keyboard and screen reader everything has a name and can be reached', async (t) => {
  await shown([latin1(files[1]!)])
  const { nodes } = (await tab.call('Accessibility.getFullAXTree')) as {
    nodes: { role?: { value: string }; name?: { value: string }; ignored: boolean }[]
  }
  const named = nodes
    .filter(({ ignored }) => !ignored)
    .map(({ role, name }) => `${role?.value}: ${name?.value.trim().slice(0, 40)}`)
  for (const part of [
    'textbox: The log’s verifier key',
    'button: Copy as text',
    'heading: Verify a receipt',
    'heading: What was found',
    'rowheader: inclusion',
    'columnheader: Result',
  ]) {
    t.ok(named.includes(part), part)
  }
  const chooser = named.find((line) => /^button: .*(Receipt|receipt\.json)/.test(line))
  t.ok(chooser, 'the file chooser')
  const lines = await tab.evaluate<string>(`document.getElementById('verdict').getAttribute('aria-live')`)
  t.equal(lines, 'polite')
  const seen: string[] = []
  await tab.evaluate('document.activeElement?.blur()')
  for (let i = 0; i < 12; i++) {
    for (const type of ['rawKeyDown', 'keyUp'])
      await tab.call('Input.dispatchKeyEvent', { type, key: 'Tab', code: 'Tab', windowsVirtualKeyCode: 9 })
    seen.push(await tab.evaluate<string>(`document.activeElement.id || document.activeElement.tagName`))
  }
  for (const one of ['file', 'key', 'SUMMARY', 'copy', 'A'])
    t.ok(seen.includes(one), `${one} of ${seen.join(' ')}`)
})

t.test('it asked for nothing, said nothing on the console, and threw nothing', async (t) => {
  const asked = tab.events
    .filter(({ method }) => method === 'Network.requestWillBeSent')
    .map(({ params }) => (params.request as { url: string }).url)
    // The test's own tries above.
    .filter((url) => url !== 'https://example.com/' && !url.startsWith('data:'))
  t.same([...new Set(asked)], [pathToFileURL(PAGE_FILE).href])
  const thrown = tab.events.filter(({ method }) =>
    ['Runtime.exceptionThrown', 'Page.javascriptDialogOpening'].includes(method),
  )
  t.same(thrown, [])
})

if (process.env.SCREENSHOTS !== undefined) {
  t.test('how it looks', async () => {
    const looks = [
      ['verified', files[1]!, { expectedKey, witnesses: trusted }],
      ['unconfirmed', files[0]!, {}],
      ['failed', files[1]!.replace('index 2', 'index 3'), { expectedKey }],
      ['refused', '{}', { expectedKey }],
    ] as const
    for (const scheme of ['light', 'dark']) {
      for (const width of [1100, 420]) {
        await tab.call('Emulation.setEmulatedMedia', {
          features: [{ name: 'prefers-color-scheme', value: scheme }],
        })
        await tab.call('Emulation.setDeviceMetricsOverride', {
          width,
          height: 900,
          deviceScaleFactor: 1,
          mobile: false,
        })
        for (const [name, file, options] of looks) {
          await shown([latin1(file)], options)
          const { data } = await tab.call('Page.captureScreenshot', { captureBeyondViewport: true })
          writeFileSync(
            join(process.env.SCREENSHOTS!, `${name}-${scheme}-${width}.png`),
            data as string,
            'base64',
          )
        }
      }
    }
  })
}
