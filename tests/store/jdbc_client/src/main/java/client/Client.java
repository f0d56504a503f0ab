package client;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

/** Reads 200,000 rows, a parameter's row and an error over JDBC, and prints one line of JSON: Client HOST:PORT USER. */
public final class Client {
    public static void main(String[] arguments) throws SQLException {
        for (String compress : new String[] {"false", "true"}) {
            Properties properties = new Properties();
            properties.setProperty("user", arguments[1]);
            properties.setProperty("password", "");
            properties.setProperty("compress", compress);
            String url = "jdbc:clickhouse://" + arguments[0] + "/tokentide";
            try (Connection connection = DriverManager.getConnection(url, properties)) {
                print(connection, compress);
            }
        }
    }

    private static void print(Connection connection, String compress) throws SQLException {
        long rows = 0;
        long last = -1;
        try (Statement statement = connection.createStatement();
                ResultSet result = statement.executeQuery("SELECT number FROM numbers(200000) ORDER BY number")) {
            while (result.next()) {
                rows++;
                last = result.getLong(1);
            }
        }
        String text;
        String at;
        try (PreparedStatement statement = connection.prepareStatement(
                "SELECT ?, toString(toDateTime64('2026-01-02 03:04:05.678', 3, 'UTC')), NULL")) {
            statement.setString(1, "it's ü");
            try (ResultSet result = statement.executeQuery()) {
                result.next();
                text = result.getString(1);
                at = result.getString(2);
                if (result.getString(3) != null) {
                    throw new IllegalStateException("NULL came as a value");
                }
            }
        }
        int code = 0;
        try (Statement statement = connection.createStatement()) {
            statement.executeQuery("SELECT no_such_column FROM numbers(1)").next();
        } catch (SQLException error) {
            code = error.getErrorCode();
            if (code == 0 && String.valueOf(error.getMessage()).contains("Code: 47")) {
                code = 47;
            }
        }
        System.out.printf(
                "{\"compress\": %s, \"rows\": %d, \"last\": %d, \"at\": \"%s\", \"text\": \"%s\", \"error_code\": %d}%n",
                compress, rows, last, at, text, code);
    }

    private Client() {}
}
