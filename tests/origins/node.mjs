// An origin on Node's http: says of every request that it understood completely what it was, in its answer and in a file.
// Usage: node node.mjs PORT FILE
import fs from "node:fs";
import http from "node:http";

const [port, file] = process.argv.slice(2);

const server = http.createServer((request, response) => {
  let length = 0;
  request.on("data", (piece) => (length += piece.length));
  request.on("end", () => {
    const said = `${request.method} ${request.url} ${length}\n`;
    fs.appendFileSync(file, said);
    response.setHeader("Content-Type", "text/plain");
    response.setHeader("Content-Length", Buffer.byteLength(said));
    response.end(request.method === "HEAD" ? "" : said);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(Number(port), "127.0.0.1");
