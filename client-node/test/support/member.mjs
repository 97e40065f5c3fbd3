// A member of a group in a process of its own: says when it holds queues, and waits to be killed.
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'oxmq'

const [nameServer, group, topic] = process.argv.slice(2)
const client = await connect(nameServer)
const consumer = await client.pushConsumer(group, { [topic]: '*' }).start()
while (consumer.assignment.length !== 2) await sleep(20)
console.log('holds 2')
await consumer.next()
