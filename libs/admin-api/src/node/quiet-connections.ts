import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Keeps the connections of an HTTP server in bounds on which no request is being answered: silent ones, those that take their time with
 * their headers, and those that are kept alive. Beyond `max`, the one that has been quiet for the longest time makes way, so that
 * no number of them keeps others out.
 */
export function limitQuietConnections(server: Server, max: number): void {
  /** The longest quiet first. */
  const quiet = new Set<Socket>();
  server.on('connection', (socket) => {
    if (quiet.size >= max) {
      const [longest] = quiet;
      longest?.destroy();
    }
    quiet.add(socket);
    socket.once('close', () => quiet.delete(socket));
  });
  server.on('request', (request, response) => {
    const { socket } = request;
    quiet.delete(socket);
    response.once('close', () => {
      if (!socket.destroyed) quiet.add(socket);
    });
  });
}
