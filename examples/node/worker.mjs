// A producer or a consumer of the demonstration; see rust/worker.rs, which does the same.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { connect } from 'oxmq'

const { positionals: [command], values: options } = parseArgs({
  allowPositionals: true,
  options: {
    'name-server': { type: 'string' },
    topic: { type: 'string' },
    events: { type: 'string' },
    part: { type: 'string' },
    parts: { type: 'string' },
    rate: { type: 'string' },
    group: { type: 'string' },
    'hand-back': { type: 'boolean' },
  },
})

const report = (event, fields = {}) => console.log(JSON.stringify({ event, ...fields }))

function isHandedBackOnce (id) {
  return Buffer.from(id).reduce((sum, byte) => (sum * 31 + byte) % 1_000_003, 7) % 50 === 0
}

async function produce (client) {
  const producer = await client.producer('demo-producers')
  report('ready')
  const lines = readFileSync(options.events, 'utf8').split('\n').filter(Boolean)
  for (let at = Number(options.part); at < lines.length; at += Number(options.parts)) {
    const { id, tag, body } = JSON.parse(lines[at])
    await producer.send({ topic: options.topic, body, tag, key: id })
    report('sent', { id })
    await sleep(1000 / Number(options.rate))
  }
}

async function handle (delivery) {
  const id = delivery.keys[0]
  const redelivered = delivery.reconsumeTimes > 0
  report('received', { id, redelivered })
  if (options['hand-back'] && !redelivered && isHandedBackOnce(id)) {
    await delivery.nack(1000)
    report('handed_back', { id })
  } else {
    await delivery.ack()
    report('acked', { id })
  }
}

async function consume (client) {
  const topics = { [options.topic]: '*' }
  const consumer = client.pushConsumer(options.group, topics, { consumeFrom: 'first' })
  process.stdin.resume().once('end', () => consumer.drain(5000))
  report('ready')
  for await (const delivery of consumer) await handle(delivery)
}

const client = await connect(options['name-server'])
await (command === 'produce' ? produce(client) : consume(client))
await client.close()
report('done')
