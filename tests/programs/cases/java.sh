#!/bin/bash
# needs: java javac
cat >T.java <<'END'
import java.nio.file.*; import java.util.*; import java.util.concurrent.*; import java.util.stream.*;
public class T {
  public static void main(String[] a) throws Exception {
    ExecutorService e = Executors.newFixedThreadPool(8); List<Future<Integer>> f = new ArrayList<>(); for (int i = 0; i < 100; i++) { final int n = i; f.add(e.submit(() -> n * n)); } int s = 0; for (Future<Integer> x : f) s += x.get(); e.shutdown(); System.out.println(s);
    System.out.println(IntStream.range(0, 1000000).parallel().filter(i -> i % 3 == 0).count()); Files.write(Paths.get("f"), "hello".getBytes()); System.out.println(Files.size(Paths.get("f"))); Process p = new ProcessBuilder("sh", "-c", "echo child; exit 3").start(); System.out.println(new String(p.getInputStream().readAllBytes()).trim() + p.waitFor());
    List<byte[]> g = new ArrayList<>(); for (int i = 0; i < 2000; i++) { g.add(new byte[100000]); if (g.size() > 50) g.clear(); } System.gc(); try { Object o = null; o.hashCode(); } catch (NullPointerException x) { System.out.println("npe"); } Thread t = new Thread(() -> { try { Thread.sleep(10000); } catch (InterruptedException x) { System.out.println("interrupted"); } }); t.start(); t.interrupt(); t.join(); System.exit(4);
  }
}
END
javac T.java && java T; echo $?; java -Xmx64m -XX:+UseSerialGC T | head -1
exit 0
