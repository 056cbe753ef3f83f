import { enterLab } from '../lab/enter.ts'
import { startGateway } from '../lab/gateway.ts'
import { startLab } from '../lab/lab.ts'
await enterLab(import.meta.url)
const lab = await startLab()
const gateway = await startGateway()
const py = (pre: string) => `import ctypes, urllib.request
${pre}
request = urllib.request.Request('https://api.openai.com/v1/models', headers={'Authorization': 'Bearer sk-b'})
try:
  print(urllib.request.urlopen(request).status)
except urllib.error.HTTPError as error:
  print(error.code)`
for (const pre of ['', '', `ctypes.CDLL(None).prctl(15, ${JSON.stringify('\u001b[2J\u009b\u202e')}.encode(), 0, 0, 0)`, `ctypes.CDLL(None).prctl(15, b'abc', 0, 0, 0)`, '']) {
  const t0 = Date.now()
  const r = await lab.run('agent2', ['/usr/bin/python3', '-c', py(pre)])
  console.log(r.stdout, r.stderr, Date.now() - t0)
}
for (let i = 0; i < 3; i++) {
const c = await lab.run('agent1', ['/usr/bin/curl', '-sk', '--max-time', '10', 'https://203.0.113.10/v1/models']); console.log(c.code, c.stderr) }
await new Promise((r) => setTimeout(r, 3000))
const { records } = await gateway.json('records') as { records: { kind: string; record: { time: string; agent: unknown; timing: unknown; rule: string } }[] }
for (const r of records) console.log(r.kind, r.record.time, r.record.rule, JSON.stringify(r.record.agent), JSON.stringify(r.record.timing))
const log = await import('node:fs').then((fs) => fs.readFileSync('/var/log/agent-anchor/agent-anchor.log', 'utf8'))
console.log(log)
await gateway.stop(); await lab.stop()
