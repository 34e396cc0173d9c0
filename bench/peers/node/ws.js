// The chat of the `ws` package: every text goes to all of its room.
import { WebSocket, WebSocketServer } from 'ws'

const [port] = process.argv.slice(2)
const rooms = new Map()
const server = new WebSocketServer({ port: Number(port), host: '127.0.0.1', perMessageDeflate: false, backlog: 1024 })

server.on('connection', (socket, request) => {
  const room = new URL(request.url, 'http://x').searchParams.get('room')
  const members = rooms.get(room) ?? new Set()
  rooms.set(room, members)
  members.add(socket)
  socket.on('close', () => members.delete(socket))
  socket.on('error', () => socket.terminate())
  socket.on('message', (data) => {
    const text = data.toString()
    for (const member of members) {
      if (member.readyState === WebSocket.OPEN) member.send(text)
    }
  })
})
