/** What the records prove, here and elsewhere, and what stands nowhere. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Story } from './story.ts'

export function recordsVerify({ list, verified }: Story): void {
  t.test('records of exchanges verify up to the root that is read from the chain', async (t) => {
    const [row] = await list('--kind', 'exchange', '--limit', '1')
    const { findings, verified: holds } = (await verified(row?.id ?? '')) as Awaited<
      ReturnType<typeof verified>
    > & { verified: boolean }
    t.ok(holds, JSON.stringify(findings, null, 1))
    for (const check of [
      'record',
      'inclusion',
      'signature',
      'anchor development',
      'body request.body',
      'store',
    ]) {
      t.ok(
        findings.some((f) => f.check === check && f.result === 'proved'),
        `${check} is proved`,
      )
    }
    t.match(
      findings.find((f) => f.check === 'anchor development')?.detail,
      /development chain: no independent evidence/,
      'and the chain is called what it is',
    )
  })
}

export function receiptsVerify({ gateway, list, verified }: Story): void {
  t.test('a receipt verifies offline without our state, and a changed one does not', async (t) => {
    const [row] = await list('--kind', 'exchange', '--limit', '1')
    await verified(row?.id ?? '')
    t.equal((await gateway.cli('export', row?.id ?? '', '-o', '/root/receipt.json')).code, 0)
    const known = ['verify', '--receipt', '/root/receipt.json', '--key', gateway.paths.verifierKey]
    const online = await gateway.json(...known)
    t.equal(online.verified, true, JSON.stringify(online))
    const offline = await gateway.json(...known, '--offline')
    t.equal(offline.verified, true)
    const text = readFileSync('/root/receipt.json', 'utf8')
    for (const [from, to] of [
      ['"status\\":200', '"status\\":500'],
      ['index ', 'index 1'],
      ['"root": "', '"root": "f'],
    ] as const) {
      writeFileSync('/root/forged.json', text.replace(from, to))
      t.not(readFileSync('/root/forged.json', 'utf8'), text)
      t.equal(
        (await gateway.cli('verify', '--receipt', '/root/forged.json', '--offline')).code,
        1,
        `changed at ${from}`,
      )
    }
  })

  t.test('a receipt of several records, with what was said, proves it to who has the key', async (t) => {
    const rows = await list('--kind', 'exchange', '--limit', '3')
    const ids = rows.map(({ id }) => id)
    await Promise.all(ids.map(verified))
    const exported = await gateway.json('export', ...ids, '-o', '/root/several.json', '--with-bodies')
    t.equal((exported.records as unknown[]).length, 3)
    const known = [
      'verify',
      '--receipt',
      '/root/several.json',
      '--offline',
      '--key',
      gateway.paths.verifierKey,
    ]
    const { verdict, findings } = (await gateway.json(...known)) as {
      verdict: string
      findings: { check: string; result: string; detail: string }[]
    }
    t.equal(verdict, 'verified')
    const bodies = findings.filter(({ check }) => check.startsWith('body '))
    t.equal(bodies.length, exported.bodies)
    t.ok(bodies.length >= 6 && bodies.every(({ result }) => result === 'proved'), `${bodies.length} parts`)
    const range = await gateway.json('export', `${ids.at(-1)}..${ids[0]}`, '-o', '/root/range.json')
    t.ok((range.records as unknown[]).length >= 3)
    t.equal(
      (await gateway.cli('verify', '--receipt', '/root/range.json', '--offline')).code,
      4,
      'by nobody’s key',
    )
  })
}

export function noKeyStands({ gateway, keys }: Story): void {
  t.test(
    'no key that was used stands anywhere below the state directory, the logs, or in the records',
    async (t) => {
      const files = ['/var/lib/agent-anchor', '/var/log/agent-anchor', '/run/agent-anchor'].flatMap((root) =>
        readdirSync(root, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => join(entry.parentPath, entry.name)),
      )
      t.ok(files.length > 5)
      const records = (await gateway.cli('records', '--json', '--limit', '1000')).stdout
      for (const secret of keys) {
        const forms = [
          secret,
          Buffer.from(secret).toString('hex'),
          Buffer.from(secret).toString('base64').slice(0, -4),
        ]
        for (const form of forms) {
          for (const file of files)
            if (readFileSync(file).includes(form)) t.fail(`${secret} stands in ${file}`)
          if (records.includes(form)) t.fail(`${secret} stands in the records`)
        }
      }
    },
  )
}
