/** The model that a WebSocket's client names for its session, in the words of the interfaces. */
import t from 'tap'
import { modelIn, NamedModel } from '../../daemon/proxy/web-socket/named-model.ts'

const json = (value: unknown) => Buffer.from(JSON.stringify(value))

t.test('reads it where a session is set up, and nowhere else', (t) => {
  const transcription = { audio: { input: { transcription: { model: 'whisper-1' } } } }
  const cases: [unknown, string | undefined][] = [
    [{ setup: { model: 'models/gemini-live' } }, 'gemini-live'],
    [{ setup: { generationConfig: {}, model: 'projects/p/publishers/google/models/gemini' } }, 'gemini'],
    [{ setup: { model: 'models/long', systemInstruction: 'x'.repeat(100_000) } }, 'long'],
    [{ type: 'session.update', session: { ...transcription, model: 'gpt-realtime' } }, 'gpt-realtime'],
    [{ type: 'session.update', session: transcription }, undefined],
    [{ type: 'session.update', session: null }, undefined],
    [{ type: 'response.create', model: 'gpt-5' }, undefined],
    [{ setup: { model: 7 } }, undefined],
    [{ setup: { model: 'x'.repeat(129) } }, undefined],
    [{ setup: { model: 'a\nb' } }, undefined],
    [{ setup: { model: 'models/' } }, undefined],
    [[{ setup: { model: 'x' } }], undefined],
  ]
  for (const [said, model] of cases) {
    const bytes = json(said)
    t.equal(modelIn(bytes.subarray(0, 65_536)), model, String(bytes.subarray(0, 60)))
  }
  t.equal(modelIn(Buffer.from('{"setup":{')), undefined)
  t.equal(modelIn(Buffer.alloc(65_536, '{"session":{ ')), undefined)
  t.end()
})

t.test('the last one counts, in whatever pieces it came', (t) => {
  const named = new NamedModel()
  for (const model of ['one', 'two']) {
    const bytes = json({ setup: { model } })
    for (let at = 0; at < bytes.length; at += 7)
      named.piece(bytes.subarray(at, at + 7), at + 7 >= bytes.length)
    t.equal(named.model, model)
  }
  named.piece(json({ clientContent: {} }), true)
  t.equal(named.model, 'two')
  t.end()
})
